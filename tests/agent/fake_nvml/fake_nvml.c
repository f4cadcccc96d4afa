/* A libnvidia-ml.so.1 without a GPU: answers from a state that a test writes through the fake_* functions.
   Layouts follow NVIDIA's nvml.h as nvidia-ml-py 13 declares them. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GPUS 8
#define SLICES 7
#define LINKS 18
#define METRICS 512
#define EVENTS 16

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, NOT_LOADED = 9, TIMEOUT = 10, LOST = 15 };

typedef struct { uint64_t pod[4]; char uuid[64], profile[32]; int present, id, compute, start, sms, slices; uint64_t mb, used; } Slice;
typedef struct {
  char name[96], uuid[80];
  int lost, gpm, mig, major, numa;
  unsigned clock, power, limit, default_limit, temperature, gen, width, max_gen, max_width, gpu_util, mem_util;
  uint64_t total, reserved, used, energy, events, ecc, power_ns, thermal_ns;
  unsigned rows_pending, rows_failed;
  double metric[METRICS], slice_metric[SLICES][METRICS];
  Slice slice[SLICES];
  int links, link_active[LINKS], link_remote[LINKS]; /* remote: index of a GPU, -1 a switch */
  unsigned char cluster[16];
  unsigned clique, fabric_state;
} Gpu;
typedef struct { int gpu; uint64_t number; } Xid;
typedef struct { int gpu, slice, tick; } Sample;

static Gpu gpus[GPUS];
static int tick, count, initialised, driver = 1, calls, samples_live;
static char version[80] = "580.159.03";
static Xid queue[EVENTS];
static int queued;

/* Handles are addresses: a GPU's own, or that of its slice. */
static Gpu *as_gpu(void *h) { Gpu *g = h; return g >= gpus && g < gpus + GPUS && ((char *)h - (char *)gpus) % sizeof(Gpu) == 0 ? g : NULL; }
static Gpu *parent_of(Slice *s) { return (Gpu *)((char *)gpus + ((char *)s - (char *)gpus) / sizeof(Gpu) * sizeof(Gpu)); }
static Slice *as_slice(void *h) { return h && !as_gpu(h) ? h : NULL; }
static int state_of(void *h) {
  calls++;
  if (!driver || !initialised) return UNINITIALIZED;
  Gpu *g = as_gpu(h);
  if (!g) { Slice *s = h; if (!s->present) return NOT_FOUND; g = parent_of(s); }
  return g->lost ? LOST : OK;
}
#define GUARD(h) do { int r_ = state_of(h); if (r_) return r_; } while (0)
#define GPU_ONLY(h) GUARD(h); Gpu *g = as_gpu(h); if (!g) return UNSUPPORTED
#define PUT(field) *out = g->field; return OK

/* ---- what tests write ---- */
void fake_reset(int n) {
  memset(gpus, 0, sizeof gpus);
  count = n; initialised = 0; driver = 1; queued = 0; calls = 0; samples_live = 0; tick = 0;
  for (int i = 0; i < GPUS; i++) {
    Gpu *g = &gpus[i];
    strcpy(g->name, "NVIDIA H100 80GB HBM3");
    sprintf(g->uuid, "GPU-%08d-0000-0000-0000-000000000000", i);
    g->gpm = 1; g->major = 9; g->numa = i / 4; g->clock = 1980; g->power = 120000; g->limit = g->default_limit = 700000;
    g->temperature = 35; g->gen = g->max_gen = 5; g->width = g->max_width = 16;
    g->total = 81559ull << 20; g->reserved = 600ull << 20; g->used = 0; g->fabric_state = 0;
    for (int m = 0; m < METRICS; m++) { g->metric[m] = m <= 60 || m == 61 ? 0.0 : NAN; for (int s = 0; s < SLICES; s++) g->slice_metric[s][m] = g->metric[m]; }
  }
}
/* What was allocated goes with the driver: nothing can be given back to one that is away. */
void fake_driver(int up) { driver = up; if (!up) { initialised = 0; samples_live = 0; } }
void fake_version(const char *text) { snprintf(version, sizeof version, "%s", text); }
void fake_name(int i, const char *text) { snprintf(gpus[i].name, sizeof gpus[i].name, "%s", text); }
void fake_lose(int i, int lost) { gpus[i].lost = lost; }
void fake_metric(int i, int metric, double value) { gpus[i].metric[metric] = value; }
void fake_slice_metric(int i, int slot, int metric, double value) { gpus[i].slice_metric[slot][metric] = value; }
void fake_set(int i, const char *field, uint64_t v) {
  Gpu *g = &gpus[i];
#define F(name) if (!strcmp(field, #name)) { g->name = v; return; }
  F(gpm) F(mig) F(major) F(numa) F(clock) F(power) F(limit) F(default_limit) F(temperature) F(gen) F(width) F(max_gen) F(max_width)
  F(gpu_util) F(mem_util) F(total) F(reserved) F(used) F(energy) F(events) F(ecc) F(power_ns) F(thermal_ns) F(rows_pending) F(rows_failed)
  F(clique) F(fabric_state)
  fprintf(stderr, "fake_nvml: no field %s\n", field); abort();
}
void fake_cluster(int i, const unsigned char *uuid) { memcpy(gpus[i].cluster, uuid, 16); }
void fake_link(int i, int link, int active, int remote) { if (link >= gpus[i].links) gpus[i].links = link + 1; gpus[i].link_active[link] = active; gpus[i].link_remote[link] = remote; }
void fake_slice(int i, int slot, int id, const char *profile, int slices, uint64_t mb) {
  Slice *s = &gpus[i].slice[slot];
  s->present = 1; s->id = id; s->start = slot; s->slices = slices; s->mb = mb; s->used = 0; s->sms = 16 * slices;
  snprintf(s->profile, sizeof s->profile, "%s", profile);
  sprintf(s->uuid, "MIG-%08d-%04d-0000-0000-000000000000", i, id);
  gpus[i].mig = 1;
}
void fake_unslice(int i) { for (int s = 0; s < SLICES; s++) gpus[i].slice[s].present = 0; }
void fake_xid(int i, uint64_t number) { if (queued < EVENTS) queue[queued++] = (Xid){i, number}; }
void fake_tick(int now) { tick = now; }
int fake_calls(void) { return calls; }
int fake_samples(void) { return samples_live; }

/* A program that loads this library by itself finds the GPUs that FAKE_NVML_GPUS asks for, busy. */
__attribute__((constructor)) static void start(void) {
  const char *n = getenv("FAKE_NVML_GPUS"), *name = getenv("FAKE_NVML_NAME");
  fake_reset(n ? atoi(n) : 0);
  for (int i = 0; i < count; i++) {
    if (name) fake_name(i, name);
    gpus[i].gpu_util = 99; gpus[i].used = 60ull << 30; gpus[i].power = 650000; gpus[i].clock = 1700; gpus[i].events = 4;
    gpus[i].metric[1] = 99.5; gpus[i].metric[2] = 95.0; gpus[i].metric[5] = gpus[i].metric[7] = 55.0; gpus[i].metric[10] = 30.0;
    for (int l = 0; l < LINKS; l++) fake_link(i, l, 1, -1);
  }
}

/* ---- library ---- */
int nvmlInitWithFlags(unsigned flags) { (void)flags; if (!driver) return NOT_LOADED; initialised = 1; return OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { if (!initialised) return UNINITIALIZED; initialised = 0; return OK; }
const char *nvmlErrorString(int code) {
  switch (code) { case OK: return "Success"; case UNINITIALIZED: return "Uninitialized"; case UNSUPPORTED: return "Not Supported"; case NOT_FOUND: return "Not Found";
    case NOT_LOADED: return "Driver Not Loaded"; case TIMEOUT: return "Timeout"; case LOST: return "GPU is lost"; default: return "Error"; } }
int nvmlSystemGetDriverVersion(char *out, unsigned n) { if (!initialised) return UNINITIALIZED; snprintf(out, n, "%s", version); return OK; }
int nvmlDeviceGetCount_v2(unsigned *out) { if (!initialised) return UNINITIALIZED; *out = count; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **out) { if (!initialised) return UNINITIALIZED; if ((int)i >= count) return INVALID; *out = &gpus[i]; return gpus[i].lost ? LOST : OK; }
int nvmlDeviceGetName(void *h, char *out, unsigned n) { GUARD(h); Slice *s = as_slice(h); if (!s) snprintf(out, n, "%s", as_gpu(h)->name); else if (*s->profile) snprintf(out, n, "%s MIG %s", parent_of(s)->name, s->profile); else snprintf(out, n, "%s", parent_of(s)->name); return OK; }
int nvmlDeviceGetUUID(void *h, char *out, unsigned n) { GUARD(h); Slice *s = as_slice(h); snprintf(out, n, "%s", s ? s->uuid : as_gpu(h)->uuid); return OK; }

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
static void pci(Pci *out, int i) { memset(out, 0, sizeof *out); out->bus = 0x10 + i; sprintf(out->bus_id, "00000000:%02X:00.0", out->bus); }
int nvmlDeviceGetPciInfo_v3(void *h, Pci *out) { GPU_ONLY(h); pci(out, g - gpus); return OK; }

typedef struct { uint64_t total, free, used; } Memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } Memory2;
int nvmlDeviceGetMemoryInfo_v2(void *h, Memory2 *out) {
  GUARD(h); Slice *s = as_slice(h);
  if (s) { out->total = s->mb << 20; out->reserved = 0; out->used = s->used; } else { Gpu *g = as_gpu(h); out->total = g->total; out->reserved = g->reserved; out->used = g->used; }
  out->free = out->total - out->reserved - out->used; return OK; }
int nvmlDeviceGetMemoryInfo(void *h, Memory *out) { Memory2 m; int r = nvmlDeviceGetMemoryInfo_v2(h, &m); out->total = m.total; out->used = m.used + m.reserved; out->free = m.free; return r; }
int nvmlDeviceGetUtilizationRates(void *h, unsigned *out) { GPU_ONLY(h); if (g->mig) return UNSUPPORTED; out[0] = g->gpu_util; out[1] = g->mem_util; return OK; }
int nvmlDeviceGetClockInfo(void *h, unsigned kind, unsigned *out) { GPU_ONLY(h); (void)kind; PUT(clock); }
int nvmlDeviceGetPowerUsage(void *h, unsigned *out) { GPU_ONLY(h); PUT(power); }
int nvmlDeviceGetEnforcedPowerLimit(void *h, unsigned *out) { GPU_ONLY(h); PUT(limit); }
int nvmlDeviceGetPowerManagementDefaultLimit(void *h, unsigned *out) { GPU_ONLY(h); PUT(default_limit); }
int nvmlDeviceGetTotalEnergyConsumption(void *h, uint64_t *out) { GPU_ONLY(h); PUT(energy); }
int nvmlDeviceGetTemperature(void *h, unsigned kind, unsigned *out) { GPU_ONLY(h); (void)kind; PUT(temperature); }
int nvmlDeviceGetCurrentClocksEventReasons(void *h, uint64_t *out) { GPU_ONLY(h); PUT(events); }
int nvmlDeviceGetCurrPcieLinkGeneration(void *h, unsigned *out) { GPU_ONLY(h); PUT(gen); }
int nvmlDeviceGetCurrPcieLinkWidth(void *h, unsigned *out) { GPU_ONLY(h); PUT(width); }
int nvmlDeviceGetMaxPcieLinkGeneration(void *h, unsigned *out) { GPU_ONLY(h); PUT(max_gen); }
int nvmlDeviceGetMaxPcieLinkWidth(void *h, unsigned *out) { GPU_ONLY(h); PUT(max_width); }
int nvmlDeviceGetTotalEccErrors(void *h, unsigned type, unsigned counter, uint64_t *out) { GPU_ONLY(h); (void)counter; if (type != 1) return UNSUPPORTED; PUT(ecc); }
int nvmlDeviceGetRemappedRows(void *h, unsigned *c, unsigned *u, unsigned *p, unsigned *f) { GPU_ONLY(h); *c = *u = 0; *p = g->rows_pending; *f = g->rows_failed; return OK; }
int nvmlDeviceGetMemoryAffinity(void *h, unsigned n, uint64_t *words, unsigned scope) { GPU_ONLY(h); (void)scope; memset(words, 0, 8 * n); words[0] = 1ull << g->numa; return OK; }
int nvmlDeviceGetCudaComputeCapability(void *h, int *major, int *minor) { GPU_ONLY(h); *major = g->major; *minor = 0; return OK; }

typedef struct { unsigned field, scope; int64_t timestamp, latency; unsigned type; int result; union { double d; unsigned ui; uint64_t ull; } value; } Field;
int nvmlDeviceGetFieldValues(void *h, int n, Field *values) {
  GPU_ONLY(h);
  for (int i = 0; i < n; i++) {
    values[i].result = OK;
    switch (values[i].field) {
      case 74: values[i].value.ull = g->power_ns; break;
      case 75: values[i].value.ull = g->thermal_ns; break;
      case 91: values[i].value.ull = 0; values[i].value.ui = g->links; break;
      default: values[i].result = UNSUPPORTED;
    }
  }
  return OK; }

int nvmlDeviceGetMigMode(void *h, unsigned *now, unsigned *pending) { GPU_ONLY(h); if (g->major < 8) return UNSUPPORTED; *now = *pending = g->mig; return OK; }
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *out) { GPU_ONLY(h); *out = SLICES; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned slot, void **out) { GPU_ONLY(h); if (slot >= SLICES || !g->slice[slot].present) return NOT_FOUND; *out = &g->slice[slot]; return OK; }
int nvmlDeviceGetGpuInstanceId(void *h, unsigned *out) { GUARD(h); Slice *s = as_slice(h); if (!s) return INVALID; *out = s->id; return OK; }
int nvmlDeviceGetComputeInstanceId(void *h, unsigned *out) { GUARD(h); Slice *s = as_slice(h); if (!s) return INVALID; *out = s->compute; return OK; }
typedef struct { unsigned sms, ce, dec, enc, jpeg, ofa, slices, compute; uint64_t mb; } Attributes;
int nvmlDeviceGetAttributes_v2(void *h, Attributes *out) { GUARD(h); Slice *s = as_slice(h); if (!s) return INVALID; memset(out, 0, sizeof *out); out->sms = s->sms; out->slices = out->compute = s->slices; out->mb = s->mb; return OK; }
static int slot_of(Gpu *g, unsigned id) { for (int s = 0; s < SLICES; s++) if (g->slice[s].present && g->slice[s].id == (int)id) return s; return -1; }
int nvmlDeviceGetGpuInstanceById(void *h, unsigned id, void **out) { GPU_ONLY(h); int s = slot_of(g, id); if (s < 0) return NOT_FOUND; *out = &g->slice[s]; return OK; }
typedef struct { void *device; unsigned id, profile; struct { unsigned start, size; } placement; } InstanceInfo;
int nvmlGpuInstanceGetInfo(void *h, InstanceInfo *out) { Slice *s = h; out->device = parent_of(s); out->id = s->id; out->profile = 19; out->placement.start = s->start; out->placement.size = s->slices; return OK; }

int nvmlDeviceGetNvLinkState(void *h, unsigned link, unsigned *out) { GPU_ONLY(h); if ((int)link >= g->links) return UNSUPPORTED; *out = g->link_active[link]; return OK; }
int nvmlDeviceGetNvLinkRemoteDeviceType(void *h, unsigned link, unsigned *out) { GPU_ONLY(h); if ((int)link >= g->links) return UNSUPPORTED; *out = g->link_remote[link] < 0 ? 2 : 0; return OK; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *h, unsigned link, Pci *out) { GPU_ONLY(h); if ((int)link >= g->links || g->link_remote[link] < 0) return UNSUPPORTED; pci(out, g->link_remote[link]); return OK; }
typedef struct { unsigned version; unsigned char cluster[16]; int status; unsigned clique; unsigned char state; unsigned mask; } Fabric;
int nvmlDeviceGetGpuFabricInfoV(void *h, Fabric *out) { GPU_ONLY(h); memcpy(out->cluster, g->cluster, 16); out->status = OK; out->clique = g->clique; out->state = g->fabric_state; return OK; }

typedef struct { unsigned version, supported; } Support;
int nvmlGpmQueryDeviceSupport(void *h, Support *out) { GPU_ONLY(h); if (out->version != 1) return INVALID; out->supported = g->gpm; return OK; }
int nvmlGpmSampleAlloc(void **out) { if (!initialised) return UNINITIALIZED; *out = calloc(1, sizeof(Sample)); samples_live++; return OK; }
int nvmlGpmSampleFree(void *sample) { if (!initialised) return UNINITIALIZED; free(sample); samples_live--; return OK; }
int nvmlGpmSampleGet(void *h, Sample *sample) { GPU_ONLY(h); if (!g->gpm) return UNSUPPORTED; *sample = (Sample){g - gpus, -1, tick}; return OK; }
int nvmlGpmMigSampleGet(void *h, unsigned id, Sample *sample) { GPU_ONLY(h); int s = slot_of(g, id); if (s < 0) return NOT_FOUND; *sample = (Sample){g - gpus, s, tick}; return OK; }
typedef struct { unsigned id; int result; double value; char *names[3]; } Metric;
typedef struct { unsigned version, count; Sample *one, *two; Metric metrics[]; } MetricsGet;
int nvmlGpmMetricsGet(MetricsGet *get) {
  if (!driver || !initialised) return UNINITIALIZED;
  if (get->version != 1 || get->one->gpu != get->two->gpu || get->one->slice != get->two->slice) return INVALID;
  Gpu *g = &gpus[get->two->gpu];
  for (unsigned i = 0; i < get->count; i++) {
    Metric *m = &get->metrics[i];
    double v = m->id >= METRICS ? NAN : get->two->slice < 0 ? g->metric[m->id] : g->slice_metric[get->two->slice][m->id];
    if (tick && m->id == 5) v = get->two->tick - get->one->tick;
    m->value = v; m->result = v < 0 ? UNSUPPORTED : OK;
  }
  return OK; }

typedef struct { void *device; uint64_t type, data; unsigned gi, ci; } Event;
int nvmlEventSetCreate(void **out) { if (!initialised) return UNINITIALIZED; *out = calloc(1, 1); return OK; }
int nvmlEventSetFree(void *set) { if (!initialised) return UNINITIALIZED; free(set); return OK; }
int nvmlDeviceRegisterEvents(void *h, uint64_t types, void *set) { GPU_ONLY(h); (void)set; (void)g; return types & 8 ? OK : UNSUPPORTED; }
int nvmlEventSetWait_v2(void *set, Event *out, unsigned ms) {
  (void)set; (void)ms;
  if (!driver || !initialised) return UNINITIALIZED;
  if (!queued) return TIMEOUT;
  memset(out, 0, sizeof *out); out->device = &gpus[queue[0].gpu]; out->type = 8; out->data = queue[0].number; out->gi = out->ci = 0xFFFFFFFFu;
  memmove(queue, queue + 1, sizeof(Xid) * --queued); return OK; }
