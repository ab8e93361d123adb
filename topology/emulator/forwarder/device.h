/* The sites' TUN devices, each in a network namespace that is there. */
#ifndef DEVICE_H
#define DEVICE_H
#include "links.h"
#include <linux/virtio_net.h>

enum {
  DEVICE_MTU = 1500,
  /* Before each packet, in both directions. */
  DEVICE_HEADER = sizeof(struct virtio_net_hdr),
};

/* -1 where there is none; those that there are have the numbers from 0. */
extern int tun_of[MAX_SITES];

/* 0, or -1 with errno. */
int devices_init(void);
/* NULL, or what is wrong. */
const char *make_site(int site, const char *address, const char *namespace);
/* Of an IPv4 address in network order; -1 when it is nobody's. */
int site_of(const uint8_t *address);

#endif
