/* See links.h. A packet waits in one heap, by the time at which it leaves the pipe or the way that it is in. */
#include "links.h"
#include "device.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  READ_AT_ONCE = 64,
  MAX_PACKETS = 1 << 18,
};

struct packet {
  uint64_t due_ns, order;
  struct packet *next; /* of those not in use */
  uint16_t from, to, length;
  uint8_t step; /* pipes before the way, the way, pipes after it */
  uint8_t bytes[DEVICE_HEADER + DEVICE_MTU];
};

struct pipe_ pipes[MAX_PIPES];
struct route *routes;
struct totals totals;
static struct packet **heap, *unused;
static size_t heap_size, packets_made;
static uint64_t next_order, random_state;

int links_init(uint64_t seed) {
  random_state = seed * 0x9E3779B97F4A7C15u + 1;
  routes = calloc((size_t)MAX_SITES * MAX_SITES, sizeof *routes);
  heap = malloc(sizeof(struct packet *) * MAX_PACKETS);
  return routes == NULL || heap == NULL ? -1 : 0;
}

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* xorshift64* (Vigna, 2016): the upper half is as good as random for losses, and the same for the same seed. */
static uint32_t random32(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (uint32_t)((random_state * 0x2545F4914F6CDD1Du) >> 32);
}

static int is_before(const struct packet *a, const struct packet *b) {
  return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

static void schedule(struct packet *packet, uint64_t due_ns) {
  packet->due_ns = due_ns;
  packet->order = next_order++;
  size_t at = heap_size++;
  while (at > 0 && is_before(packet, heap[(at - 1) / 2])) {
    heap[at] = heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  heap[at] = packet;
}

static struct packet *take_first(void) {
  struct packet *first = heap[0], *last = heap[--heap_size];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap_size) break;
    if (child + 1 < heap_size && is_before(heap[child + 1], heap[child])) child++;
    if (!is_before(heap[child], last)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = last;
  return first;
}

static struct packet *new_packet(void) {
  struct packet *packet = unused;
  if (packet != NULL) {
    unused = packet->next;
    return packet;
  }
  if (packets_made == MAX_PACKETS) return NULL;
  packets_made++;
  return malloc(sizeof *packet);
}

static void forget(struct packet *packet) {
  packet->next = unused;
  unused = packet;
}

/* When the packet has left the pipe; 0 when there was no room for it. */
static uint64_t pass(struct pipe_ *pipe, uint64_t at_ns, uint64_t bytes) {
  uint64_t leave_ns = at_ns;
  if (pipe->kbit > 0) {
    uint64_t wait_ns = pipe->free_ns > at_ns ? pipe->free_ns - at_ns : 0;
    if (wait_ns * pipe->kbit / 8000000u + bytes > pipe->queue_bytes) {
      pipe->dropped++;
      return 0;
    }
    leave_ns = at_ns + wait_ns + bytes * 8000000u / pipe->kbit;
    pipe->free_ns = leave_ns;
    pipe->wait_sum_ns += wait_ns;
    if (wait_ns > pipe->wait_max_ns) pipe->wait_max_ns = wait_ns;
  }
  pipe->bytes += bytes;
  pipe->packets++;
  return leave_ns;
}

static void deliver(struct packet *packet, struct route *route, uint64_t due_ns) {
  if (write(tun_of[packet->to], packet->bytes, DEVICE_HEADER + packet->length) < 0) {
    totals.refused++;
  } else {
    route->arrived_bytes += packet->length;
    route->arrived_packets++;
    uint64_t at_ns = now_ns();
    uint64_t late_ns = at_ns > due_ns ? at_ns - due_ns : 0;
    totals.delivered++;
    totals.late_sum_ns += late_ns;
    if (late_ns > totals.late_max_ns) totals.late_max_ns = late_ns;
    if (late_ns > 1000000u) totals.late_over_1ms++;
    if (late_ns > 5000000u) totals.late_over_5ms++;
  }
  forget(packet);
}

/* Moves a packet on from where it is at `at_ns`, to its next wait or to its end. */
static void advance(struct packet *packet, uint64_t at_ns) {
  struct route *route = &routes[packet->from * MAX_SITES + packet->to];
  for (;;) {
    int step = packet->step;
    if (route->is_cut && step >= route->before) {
      route->lost_cut++;
      forget(packet);
      return;
    }
    if (step > route->pipes) {
      deliver(packet, route, at_ns);
      return;
    }
    uint64_t leave_ns;
    packet->step++;
    if (step == route->before) {
      if (route->loss > 0 && random32() < route->loss) {
        route->lost_loss++;
        forget(packet);
        return;
      }
      leave_ns = at_ns + route->delay_ns;
    } else {
      leave_ns = pass(&pipes[route->pipe[step < route->before ? step : step - 1]], at_ns, packet->length);
      if (leave_ns == 0) {
        route->lost_full++;
        forget(packet);
        return;
      }
    }
    if (leave_ns > at_ns) {
      schedule(packet, leave_ns);
      return;
    }
  }
}

void links_move(void) {
  while (heap_size > 0 && heap[0]->due_ns <= now_ns()) {
    struct packet *packet = take_first();
    advance(packet, packet->due_ns);
  }
}

void links_read(int site) {
  for (int count = 0; count < READ_AT_ONCE; count++) {
    struct packet *packet = new_packet();
    if (packet == NULL) {
      uint8_t nothing[DEVICE_HEADER + DEVICE_MTU];
      if (read(tun_of[site], nothing, sizeof nothing) < 0) return;
      totals.refused++;
      continue;
    }
    ssize_t length = read(tun_of[site], packet->bytes, sizeof packet->bytes);
    if (length < 0) {
      forget(packet);
      return;
    }
    const uint8_t *ip = packet->bytes + DEVICE_HEADER;
    int to = length >= DEVICE_HEADER + 20 && ip[0] >> 4 == 4 ? site_of(ip + 16) : -1;
    if (to < 0 || !routes[site * MAX_SITES + to].is_known) {
      totals.unroutable++;
      forget(packet);
      continue;
    }
    packet->from = (uint16_t)site;
    packet->to = (uint16_t)to;
    packet->length = (uint16_t)(length - DEVICE_HEADER);
    packet->step = 0;
    struct route *route = &routes[site * MAX_SITES + to];
    route->sent_bytes += packet->length;
    route->sent_packets++;
    /* In the order of time with those that wait: it is moved on by links_move. */
    schedule(packet, now_ns());
  }
}

uint64_t links_next_ns(void) {
  return heap_size == 0 ? UINT64_MAX : heap[0]->due_ns;
}

void links_reset_counters(void) {
  for (int i = 0; i < MAX_PIPES; i++)
    pipes[i].bytes = pipes[i].packets = pipes[i].dropped = pipes[i].wait_sum_ns = pipes[i].wait_max_ns = 0;
  for (int i = 0; i < MAX_SITES * MAX_SITES; i++) {
    struct route *route = &routes[i];
    route->sent_bytes = route->sent_packets = route->arrived_bytes = route->arrived_packets = 0;
    route->lost_full = route->lost_loss = route->lost_cut = 0;
  }
  totals = (struct totals){0};
}
