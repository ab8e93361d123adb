/* Pipes, routes and the packets on their way: the model of the links, and its counters. Time is CLOCK_MONOTONIC in ns. */
#ifndef LINKS_H
#define LINKS_H
#include <stdint.h>

enum {
  MAX_SITES = 256,
  MAX_PIPES = 4096,
  MAX_ROUTE = 6,
};

struct pipe_ {
  uint64_t kbit, queue_bytes, free_ns; /* free_ns: when the last byte of what it has taken in is out */
  uint64_t bytes, packets, dropped, wait_sum_ns, wait_max_ns;
};

struct route {
  uint64_t delay_ns;
  uint64_t loss; /* of 2^32 */
  int is_known, is_cut, before, pipes;
  uint16_t pipe[MAX_ROUTE];
  uint64_t sent_bytes, sent_packets, arrived_bytes, arrived_packets, lost_full, lost_loss, lost_cut;
};

struct totals {
  uint64_t unroutable, refused; /* to no site; taken by no device, or for want of memory */
  uint64_t delivered, late_sum_ns, late_max_ns, late_over_1ms, late_over_5ms;
};

extern struct pipe_ pipes[MAX_PIPES];
extern struct route *routes; /* MAX_SITES x MAX_SITES */
extern struct totals totals;

/* 0, or -1 without memory. */
int links_init(uint64_t seed);
uint64_t now_ns(void);
/* Takes in what a site has sent, a bounded number of packets. */
void links_read(int site);
/* Moves on all packets whose time has come. */
void links_move(void);
/* When the next one's time comes; UINT64_MAX when none is on its way. */
uint64_t links_next_ns(void);
void links_reset_counters(void);

#endif
