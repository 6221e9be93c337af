/* A CUDA driver of host memory, for tests of the code that calls the driver: enough of it for one device and copies.
 *
 * Work is done at once, but for a stream that is being captured: that is recorded, and done at each launch of its graph.
 * FAKE_CUDA_BYTES bounds device memory (default 64 MiB). FAKE_CUDA_BROKEN=1 makes every synchronization answer "illegal
 * address", for ever, as a real device does after a fault. Counts stand in cuFakeCount.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, ILLEGAL_ADDRESS = 700, NOT_FOUND = 500 };
enum { REGISTERED = 712, NOT_REGISTERED = 713, NOT_SUPPORTED = 801, CAPTURE = 900 };
typedef struct { void *to; const void *from; size_t bytes; } Copy;
typedef struct { Copy copy[256]; int count; } Graph;
typedef struct { Graph *capturing; } Stream;
typedef struct { double at; } Event;
typedef struct { size_t bytes; } Block;

static size_t used, kept = sizeof(Block) < 64 ? 64 : sizeof(Block);
static _Thread_local int current;
static int live_streams, live_events, live_graphs;
static struct { void *at; size_t bytes; } pins[16];

static size_t total(void) {
  const char *text = getenv("FAKE_CUDA_BYTES");
  return text ? strtoull(text, 0, 10) : 64u << 20;
}
static int broken(void) { return getenv("FAKE_CUDA_BROKEN") != 0; }

int cuInit(unsigned flags) { return flags ? INVALID : OK; }
int cuDriverGetVersion(int *version) { *version = 13000; return OK; }
int cuDeviceGetCount(int *count) { *count = 1; return OK; }
int cuDeviceGet(int *device, int ordinal) { *device = 0; return ordinal ? 101 : OK; }
int cuDeviceGetName(char *name, int bytes, int device) { (void)device; snprintf(name, bytes, "Fake CUDA"); return OK; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? 9 : 0; /* compute capability 9.0 */
  return OK;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = (void *)0x1000; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return OK; }
int cuCtxSetCurrent(void *context) { current = context != 0; return OK; }
int cuCtxSynchronize(void) { return broken() ? ILLEGAL_ADDRESS : OK; }
int cuMemGetInfo_v2(size_t *free_bytes, size_t *all) {
  if (!current) return INVALID_CONTEXT;
  *free_bytes = total() - used, *all = total();
  return OK;
}
int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
  if (!current) return INVALID_CONTEXT;
  if (!bytes) return INVALID;
  if (used + bytes > total()) return OUT_OF_MEMORY;
  Block *block = malloc(kept + bytes);
  block->bytes = bytes;
  used += bytes;
  *address = (uint64_t)(uintptr_t)((char *)block + kept);
  return OK;
}
int cuMemFree_v2(uint64_t address) {
  Block *block = (Block *)((char *)(uintptr_t)address - kept);
  used -= block->bytes;
  free(block);
  return OK;
}
int cuMemHostAlloc(void **host, size_t bytes, unsigned flags) { (void)flags; *host = calloc(1, bytes); return OK; }
int cuMemFreeHost(void *host) { free(host); return OK; }
int cuMemHostRegister_v2(void *at, size_t bytes, unsigned flags) {
  if (!current || (flags & ~0xfu)) return INVALID;
  /* A real driver pins a read-only mapping only if it is told so: writing needs pages that can be written. */
  FILE *maps = fopen("/proc/self/maps", "r");
  unsigned long low, high;
  char rights[8], line[512];
  int writable = 0;
  while (fgets(line, sizeof line, maps))
    if (sscanf(line, "%lx-%lx %7s", &low, &high, rights) == 3 && low <= (uintptr_t)at && (uintptr_t)at < high)
      writable = rights[1] == 'w';
  fclose(maps);
  if (!writable && !(flags & 8)) return INVALID;
  for (int i = 0; i < 16; i++)
    if (pins[i].at == at) return REGISTERED;
  for (int i = 0; i < 16; i++)
    if (!pins[i].at) { pins[i].at = at, pins[i].bytes = bytes; return OK; }
  return NOT_SUPPORTED;
}
int cuMemHostUnregister(void *at) {
  for (int i = 0; i < 16; i++)
    if (pins[i].at == at) { pins[i].at = 0; return OK; }
  return NOT_REGISTERED;
}
static int move(void *to, const void *from, size_t bytes, Stream *stream) {
  if (!current) return INVALID_CONTEXT;
  if (!stream) return INVALID;
  if (stream->capturing) {
    Graph *graph = stream->capturing;
    if (graph->count == 256) return CAPTURE;
    graph->copy[graph->count++] = (Copy){to, from, bytes};
  } else
    memmove(to, from, bytes);
  return OK;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, Stream *stream) {
  return move((void *)(uintptr_t)to, from, bytes, stream);
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, Stream *stream) {
  return move(to, (void *)(uintptr_t)from, bytes, stream);
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream *stream) {
  return move((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes, stream);
}
int cuStreamCreate(Stream **stream, unsigned flags) {
  if (flags > 1) return INVALID;
  *stream = calloc(1, sizeof **stream), live_streams++;
  return OK;
}
int cuStreamDestroy_v2(Stream *stream) { free(stream), live_streams--; return OK; }
int cuStreamSynchronize(Stream *stream) { (void)stream; return broken() ? ILLEGAL_ADDRESS : OK; }
int cuStreamBeginCapture_v2(Stream *stream, int mode) {
  if (mode < 0 || mode > 2 || stream->capturing) return CAPTURE;
  stream->capturing = calloc(1, sizeof(Graph)), live_graphs++;
  return OK;
}
int cuStreamEndCapture(Stream *stream, Graph **graph) {
  if (!stream->capturing) return CAPTURE + 1;
  *graph = stream->capturing, stream->capturing = 0;
  return OK;
}
int cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long flags) {
  if (flags) return INVALID;
  *executable = malloc(sizeof **executable), live_graphs++;
  memcpy(*executable, graph, sizeof *graph);
  return OK;
}
int cuGraphLaunch(Graph *graph, Stream *stream) {
  for (int i = 0; i < graph->count; i++) {
    int result = move(graph->copy[i].to, graph->copy[i].from, graph->copy[i].bytes, stream);
    if (result) return result;
  }
  return OK;
}
int cuGraphDestroy(Graph *graph) { free(graph), live_graphs--; return OK; }
int cuGraphExecDestroy(Graph *graph) { free(graph), live_graphs--; return OK; }
int cuEventCreate(Event **event, unsigned flags) {
  if (flags & ~7u) return INVALID;
  *event = calloc(1, sizeof **event), live_events++;
  return OK;
}
int cuEventDestroy_v2(Event *event) { free(event), live_events--; return OK; }
int cuEventRecord(Event *event, Stream *stream) { (void)stream; static double now; event->at = now += 0.5; return OK; }
int cuEventSynchronize(Event *event) { (void)event; return OK; }
int cuEventElapsedTime(float *ms, Event *start, Event *end) { *ms = (float)(end->at - start->at); return OK; }
int cuMemGetHandleForAddressRange(void *handle, uint64_t address, size_t bytes, int kind, unsigned long long flags) {
  (void)handle, (void)flags;
  if (kind != 1 || address % 4096 || bytes % 4096) return INVALID;
  return NOT_SUPPORTED;
}
int cuFakeCount(int which) {
  int counts[] = {live_streams, live_events, live_graphs, (int)used};
  return counts[which];
}
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status);
static const struct { const char *name; void *function; } table[] = {
#define F(name) {#name, (void *)name}
#define V(name, suffix) {#name, (void *)name##suffix}
    F(cuInit), F(cuDriverGetVersion), F(cuDeviceGetCount), F(cuDeviceGet), F(cuDeviceGetName), F(cuDeviceGetAttribute),
    F(cuDevicePrimaryCtxRetain), V(cuDevicePrimaryCtxRelease, _v2), F(cuCtxSetCurrent), F(cuCtxSynchronize),
    V(cuMemGetInfo, _v2), V(cuMemAlloc, _v2), V(cuMemFree, _v2), F(cuMemHostAlloc), F(cuMemFreeHost),
    V(cuMemHostRegister, _v2), F(cuMemHostUnregister), V(cuMemcpyHtoDAsync, _v2), V(cuMemcpyDtoHAsync, _v2),
    V(cuMemcpyDtoDAsync, _v2), F(cuStreamCreate), V(cuStreamDestroy, _v2), F(cuStreamSynchronize),
    V(cuStreamBeginCapture, _v2), F(cuStreamEndCapture), F(cuGraphInstantiateWithFlags), F(cuGraphLaunch),
    F(cuGraphDestroy), F(cuGraphExecDestroy), F(cuEventCreate), V(cuEventDestroy, _v2), F(cuEventRecord),
    F(cuEventSynchronize), F(cuEventElapsedTime), F(cuMemGetHandleForAddressRange), V(cuGetProcAddress, _v2)};
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
  (void)version, (void)flags;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(table[i].name, name)) {
      *function = table[i].function;
      if (status) *status = 0;
      return OK;
    }
  *function = 0;
  if (status) *status = 1;
  return NOT_FOUND;
}
int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
  return cuGetProcAddress_v2(name, function, version, flags, 0);
}
