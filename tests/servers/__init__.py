"""The real servers the tests talk to: Apache Kafka and mosquitto, started on free ports and stopped by process id."""
