/* A link between two network namespaces, in user space: delay, rate, loss and cut, for kernels without sch_netem.
 *
 *   wire NAMESPACE_A ADDRESS_A/BITS NAMESPACE_B ADDRESS_B/BITS CONTROL APPLIED
 *
 * Its tun device is called "wire" on both sides. CONTROL, read again within 10 ms of being replaced (by rename), is one line:
 *   delay_ms rate_mbit loss_percent cut queue_kb       e.g. "50 100 0 0 1024"; rate 0: no limit
 * and is copied to APPLIED when it is obeyed. Delay is one way; rate, loss and queue hold for each direction; a cut link drops
 * every packet that comes or is due meanwhile, and tells nobody. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MTU 9000    /* large: each packet costs two system calls */
#define SLOTS 16384 /* packets that may wait in one direction */
#define BATCH 64    /* packets read from one side before the other has its turn */

struct packet { double due; int len; unsigned char *data; };
struct way { int in, out; struct packet queue[SLOTS]; unsigned head, tail; long bytes; double free_at; };

static struct way ways[2];
static double delay_s, bytes_per_s, loss, queue_bytes;
static int cut;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* A tun device in a namespace: the descriptor stays usable when this process enters another one. */
static int open_device(const char *namespace, const char *address)
{
    char text[512];
    snprintf(text, sizeof text, "/run/netns/%s", namespace);
    int space = open(text, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET)) die(text);
    close(space);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_name = "wire"};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request)) die("/dev/net/tun");
    snprintf(text, sizeof text, "ip addr add %s dev wire && ip link set wire mtu %d up && ip link set lo up", address, MTU);
    if (system(text)) die(text);
    return fd;
}

static void acknowledge(const char *line, const char *applied)
{
    char fresh[512];
    snprintf(fresh, sizeof fresh, "%s.new", applied);
    FILE *f = fopen(fresh, "we");
    if (!f || fputs(line, f) < 0 || fclose(f) || rename(fresh, applied)) die(applied);
}

static void read_control(const char *file, const char *applied)
{
    static ino_t inode;
    static struct timespec written;
    struct stat st;
    if (stat(file, &st)) return;
    if (st.st_ino == inode && st.st_mtim.tv_sec == written.tv_sec && st.st_mtim.tv_nsec == written.tv_nsec) return;
    FILE *f = fopen(file, "re");
    if (!f) return;
    char line[256];
    double ms, mbit, percent, kb;
    if (fgets(line, sizeof line, f) && sscanf(line, "%lf %lf %lf %d %lf", &ms, &mbit, &percent, &cut, &kb) == 5) {
        delay_s = ms / 1e3;
        bytes_per_s = mbit * 1e6 / 8;
        loss = percent / 100;
        queue_bytes = kb * 1024;
        inode = st.st_ino;
        written = st.st_mtim;
        acknowledge(line, applied);
    }
    fclose(f);
}

static void take(struct way *w, double t)
{
    static unsigned char buffer[65536];
    for (int i = 0; i < BATCH; i++) {
        int n = read(w->in, buffer, sizeof buffer);
        if (n <= 0) return;
        if (cut || (loss > 0 && drand48() < loss) || w->head - w->tail == SLOTS || w->bytes + n > queue_bytes) continue;
        w->free_at = bytes_per_s > 0 ? (w->free_at > t ? w->free_at : t) + n / bytes_per_s : t;
        struct packet *p = &w->queue[w->head++ % SLOTS];
        if (!(p->data = malloc(n))) die("malloc");
        memcpy(p->data, buffer, p->len = n);
        p->due = w->free_at + delay_s;
        w->bytes += n;
    }
}

/* Delivers what is due and returns when the next one will be, at most `next`. */
static double deliver(struct way *w, double t, double next)
{
    for (; w->tail != w->head; w->tail++) {
        struct packet *p = &w->queue[w->tail % SLOTS];
        if (p->due > t) return p->due < next ? p->due : next;
        /* A device that is full: a little later. One that is down: the packet is lost, as it would be. */
        if (!cut && write(w->out, p->data, p->len) < 0 && errno == EAGAIN) return t + 1e-4;
        w->bytes -= p->len;
        free(p->data);
    }
    return next;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: wire NAMESPACE_A ADDRESS_A NAMESPACE_B ADDRESS_B CONTROL APPLIED\n");
        return 2;
    }
    int a = open_device(argv[1], argv[2]), b = open_device(argv[3], argv[4]);
    ways[0].in = ways[1].out = a;
    ways[1].in = ways[0].out = b;
    prctl(PR_SET_TIMERSLACK, 1000UL); /* ns: the default is 50 us late */
    for (double looked = 0;;) {
        double t = now(), next = t + 0.01;
        if (t - looked > 0.01) {
            read_control(argv[5], argv[6]);
            looked = t;
        }
        for (int i = 0; i < 2; i++) {
            take(&ways[i], t);
            next = deliver(&ways[i], t, next);
        }
        double left = next - now();
        struct timespec wait = {0, left > 0 ? (long)(left * 1e9) : 0};
        struct pollfd ends[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
        if (ppoll(ends, 2, &wait, NULL) < 0 && errno != EINTR) die("poll");
    }
}
