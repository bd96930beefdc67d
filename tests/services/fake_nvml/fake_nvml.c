/* A stand-in for NVIDIA's libnvidia-ml.so.1: enough of NVML for monitoring code, and no GPU.
 *
 * Values are read anew at each call from the text file named by FAKE_NVML_FILE. Lines are "key = value";
 * a key is GPU.NAME for one GPU ("0.util = 87") or NAME for all ("power = 350000"). Unknown keys are ignored.
 *   count            number of GPUs (2)           driver     version string (555.42.06)
 *   name uuid        strings                      mem_total  mem_used   bytes
 *   util mem_util    per cent                     temp       degrees C
 *   power limit      milliwatts                   sm_clock mem_clock    MHz
 *   procs            "PID:BYTES,PID:BYTES,..."    error      an NVML code that every query then returns (15: GPU lost)
 *   init_error       code returned by nvmlInit (9: driver not loaded)
 * An environment variable FAKE_NVML_NAME (upper case, e.g. FAKE_NVML_UTIL) overrides the default for all GPUs.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define API __attribute__((visibility("default")))
typedef int R;
enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, UNKNOWN = 999 };
typedef struct device { int index; } *Dev;
typedef unsigned long long u64;

#define MAX 16
static struct device devices[MAX];
static int refs;

/* The value of `key` of GPU `i` (-1: none) into out; returns 0 if nothing sets it. */
static int lookup(int i, const char *key, char *out, size_t size)
{
    char env[64] = "FAKE_NVML_", own[64], line[4096];
    size_t n = strlen(env);
    int found = 0;
    for (const char *p = key; *p && n < sizeof env - 1; p++) env[n++] = (char)toupper((unsigned char)*p);
    env[n] = 0;
    const char *v = getenv(env);
    if (v) { snprintf(out, size, "%s", v); found = 1; }
    const char *path = getenv("FAKE_NVML_FILE");
    FILE *f = path ? fopen(path, "re") : NULL;
    if (!f) return found;
    snprintf(own, sizeof own, "%d.%s", i, key);
    int exact = 0;
    while (fgets(line, sizeof line, f)) {
        char *eq = strchr(line, '=');
        if (line[0] == '#' || !eq) continue;
        char *k = line, *val = eq + 1, *e;
        *eq = 0;
        while (isspace((unsigned char)*k)) k++;
        for (e = k + strlen(k); e > k && isspace((unsigned char)e[-1]);) *--e = 0;
        while (isspace((unsigned char)*val)) val++;
        for (e = val + strlen(val); e > val && isspace((unsigned char)e[-1]);) *--e = 0;
        int mine = !strcmp(k, own);
        if (mine || (!exact && !strcmp(k, key))) { snprintf(out, size, "%s", val); found = 1; exact |= mine; }
    }
    fclose(f);
    return found;
}

static u64 number(int i, const char *key, u64 dflt)
{
    char b[4096];
    return lookup(i, key, b, sizeof b) ? strtoull(b, NULL, 10) : dflt;
}

static R string(int i, const char *key, const char *dflt, char *out, unsigned len)
{
    char b[4096];
    if (!lookup(i, key, b, sizeof b)) snprintf(b, sizeof b, "%s", dflt);
    if (!out) return INVALID_ARGUMENT;
    if (strlen(b) + 1 > len) return INSUFFICIENT_SIZE;
    strcpy(out, b);
    return OK;
}

static unsigned count(void) { u64 n = number(-1, "count", 2); return n > MAX ? MAX : (unsigned)n; }
static R check(Dev d)
{
    if (!refs) return UNINITIALIZED;
    if (d < devices || d >= devices + MAX) return INVALID_ARGUMENT;
    return (R)number(d->index, "error", OK);
}

#define CHECK(d, p) do { R r_ = check(d); if (r_) return r_; if (!(p)) return INVALID_ARGUMENT; } while (0)

API R nvmlInit_v2(void)
{
    R r = (R)number(-1, "init_error", OK);
    if (r) return r;
    for (int i = 0; i < MAX; i++) devices[i].index = i;
    refs++;
    return OK;
}

API R nvmlInit(void) { return nvmlInit_v2(); }
API R nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
API R nvmlShutdown(void) { if (!refs) return UNINITIALIZED; refs--; return OK; }
API const char *nvmlErrorString(R r)
{
    switch (r) {
    case OK: return "The operation was successful";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

API R nvmlSystemGetDriverVersion(char *s, unsigned n)
{
    return refs ? string(-1, "driver", "555.42.06", s, n) : UNINITIALIZED;
}

API R nvmlSystemGetNVMLVersion(char *s, unsigned n)
{
    return refs ? string(-1, "nvml", "12.555.42.06", s, n) : UNINITIALIZED;
}

API R nvmlSystemGetCudaDriverVersion_v2(int *v)
{
    if (!refs) return UNINITIALIZED;
    *v = (int)number(-1, "cuda", 12050);
    return OK;
}

API R nvmlSystemGetCudaDriverVersion(int *v) { return nvmlSystemGetCudaDriverVersion_v2(v); }
API R nvmlDeviceGetCount_v2(unsigned *n)
{
    if (!refs) return UNINITIALIZED;
    if (!n) return INVALID_ARGUMENT;
    *n = count();
    return OK;
}

API R nvmlDeviceGetHandleByIndex_v2(unsigned i, Dev *d)
{
    if (!refs) return UNINITIALIZED;
    if (!d || i >= count()) return INVALID_ARGUMENT;
    *d = &devices[i];
    return OK;
}

API R nvmlDeviceGetIndex(Dev d, unsigned *i) { CHECK(d, i); *i = (unsigned)d->index; return OK; }
API R nvmlDeviceGetMinorNumber(Dev d, unsigned *i) { CHECK(d, i); *i = (unsigned)d->index; return OK; }
API R nvmlDeviceGetName(Dev d, char *s, unsigned n)
{
    CHECK(d, s);
    return string(d->index, "name", "NVIDIA H100 80GB HBM3", s, n);
}

API R nvmlDeviceGetUUID(Dev d, char *s, unsigned n)
{
    char u[64];
    CHECK(d, s);
    snprintf(u, sizeof u, "GPU-fa4e0000-0000-4000-8000-%012d", d->index);
    return string(d->index, "uuid", u, s, n);
}

API R nvmlDeviceGetHandleByUUID(const char *uuid, Dev *d)
{
    char u[96];
    if (!refs) return UNINITIALIZED;
    for (unsigned i = 0; i < count(); i++)
        if (!nvmlDeviceGetUUID(&devices[i], u, sizeof u) && !strcasecmp(u, uuid)) { *d = &devices[i]; return OK; }
    return NOT_FOUND;
}

struct mem { u64 total, free, used; };
struct mem2 { unsigned version; u64 total, reserved, free, used; };
#define GIB (1ull << 30)
API R nvmlDeviceGetMemoryInfo(Dev d, struct mem *m)
{
    CHECK(d, m);
    m->total = number(d->index, "mem_total", 80 * GIB);
    m->used = number(d->index, "mem_used", 1 * GIB);
    m->free = m->used > m->total ? 0 : m->total - m->used;
    return OK;
}

API R nvmlDeviceGetMemoryInfo_v2(Dev d, struct mem2 *m)
{
    struct mem a;
    R r = nvmlDeviceGetMemoryInfo(d, &a);
    if (r) return r;
    m->total = a.total; m->used = a.used; m->reserved = 0; m->free = a.free;
    return OK;
}

struct util { unsigned gpu, memory; };
API R nvmlDeviceGetUtilizationRates(Dev d, struct util *u)
{
    CHECK(d, u);
    u->gpu = (unsigned)number(d->index, "util", 0);
    u->memory = (unsigned)number(d->index, "mem_util", 0);
    return OK;
}

API R nvmlDeviceGetTemperature(Dev d, int sensor, unsigned *t)
{
    CHECK(d, t);
    if (sensor) return INVALID_ARGUMENT;
    *t = (unsigned)number(d->index, "temp", 35);
    return OK;
}

struct temperature { unsigned version; int sensor; int temperature; };
API R nvmlDeviceGetTemperatureV(Dev d, struct temperature *t)
{
    CHECK(d, t);
    t->temperature = (int)number(d->index, "temp", 35);
    return OK;
}

API R nvmlDeviceGetPowerUsage(Dev d, unsigned *p)
{
    CHECK(d, p);
    *p = (unsigned)number(d->index, "power", 70000);
    return OK;
}

API R nvmlDeviceGetEnforcedPowerLimit(Dev d, unsigned *p)
{
    CHECK(d, p);
    *p = (unsigned)number(d->index, "limit", 700000);
    return OK;
}

API R nvmlDeviceGetPowerManagementLimit(Dev d, unsigned *p) { return nvmlDeviceGetEnforcedPowerLimit(d, p); }
API R nvmlDeviceGetClockInfo(Dev d, int type, unsigned *c)
{
    CHECK(d, c);
    *c = (unsigned)(type == 2 ? number(d->index, "mem_clock", 2619) : number(d->index, "sm_clock", 1980));
    return OK;
}

API R nvmlDeviceGetFanSpeed(Dev d, unsigned *s)
{
    CHECK(d, s);
    return NOT_SUPPORTED;
}

struct proc { unsigned pid; u64 mem; unsigned gi, ci; };
API R nvmlDeviceGetComputeRunningProcesses_v3(Dev d, unsigned *n, struct proc *out)
{
    char b[4096], *save = NULL;
    unsigned have = 0, room;
    CHECK(d, n);
    room = *n;
    if (lookup(d->index, "procs", b, sizeof b))
        for (char *t = strtok_r(b, ",", &save); t; t = strtok_r(NULL, ",", &save), have++) {
            char *c = strchr(t, ':');
            if (have >= room || !out) continue;
            out[have] = (struct proc){(unsigned)strtoul(t, NULL, 10), c ? strtoull(c + 1, NULL, 10) : 0, ~0u, ~0u};
        }
    *n = have;
    return have > room ? INSUFFICIENT_SIZE : OK;
}

API R nvmlDeviceGetGraphicsRunningProcesses_v3(Dev d, unsigned *n, struct proc *out)
{
    (void)out;
    CHECK(d, n);
    *n = 0;
    return OK;
}
