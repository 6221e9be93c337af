# Sourced by scripts/test: installs the real servers that the suite talks to, where apt is there and something is missing.
fg_packages=(
  gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-bad gstreamer1.0-plugins-good gstreamer1.0-rtsp python3-gi # RTSP
  mosquitto mosquitto-clients                                                                                # MQTT
  default-jdk-headless kcat maven                                                                            # Kafka
)
if [ "$(uname -m)" = x86_64 ]; then # guests with soft-RoCE
  fg_packages+=(busybox-static iproute2 kmod perftest python3-pyverbs qemu-system-x86)
  if grep -qs '^ID=ubuntu' /etc/os-release; then
    fg_packages+=(linux-image-generic linux-modules-extra-generic)
  else
    fg_packages+=(linux-image-amd64)
  fi
fi
fg_missing=()
if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  for fg_package in "${fg_packages[@]}"; do
    case $fg_package in
    default-jdk-headless) command -v java >/dev/null && continue ;;
    maven) command -v mvn >/dev/null && continue ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$fg_package" 2>/dev/null)" = installed ] || fg_missing+=("$fg_package")
  done
fi
if [ ${#fg_missing[@]} -gt 0 ]; then
  fg_sudo=$([ "$(id -u)" = 0 ] || echo "sudo -n")
  echo "installing with apt: ${fg_missing[*]}" >&2
  if ! { $fg_sudo apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive $fg_sudo apt-get install -y -qq --no-install-recommends "${fg_missing[@]}"; } >&2; then
    echo "could not install them: the tests that need them will skip" >&2
  fi
fi
