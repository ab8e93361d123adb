#define _GNU_SOURCE
#include "device.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int tun_of[MAX_SITES];
static int site_of_address[1 << 16]; /* by the last two bytes of the address, plus one */
static uint32_t address_of[MAX_SITES];
static int home_namespace;

int devices_init(void) {
  for (int i = 0; i < MAX_SITES; i++) tun_of[i] = -1;
  home_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  return home_namespace < 0 ? -1 : 0;
}

int site_of(const uint8_t *address) {
  uint32_t whole;
  memcpy(&whole, address, sizeof whole);
  int site = site_of_address[address[2] << 8 | address[3]] - 1;
  return site >= 0 && address_of[site] == whole ? site : -1;
}

static void set_system(const char *name, const char *value) {
  int fd = open(name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return; /* A kernel without it needs no setting. */
  if (write(fd, value, strlen(value)) < 0) fprintf(stderr, "forwarder: %s: %s\n", name, strerror(errno));
  close(fd);
}

static int set_up(int device, const char *name, struct in_addr address) {
  struct ifreq request = {0};
  strcpy(request.ifr_name, name);
  struct sockaddr_in *to = (struct sockaddr_in *)&request.ifr_addr;
  to->sin_family = AF_INET;
  to->sin_addr = address;
  if (address.s_addr != 0) {
    if (ioctl(device, SIOCSIFADDR, &request) < 0) return -1;
    to->sin_addr.s_addr = htonl(0xff000000);
    if (ioctl(device, SIOCSIFNETMASK, &request) < 0) return -1;
    request.ifr_mtu = DEVICE_MTU;
    if (ioctl(device, SIOCSIFMTU, &request) < 0) return -1;
    request.ifr_qlen = 4096;
    if (ioctl(device, SIOCSIFTXQLEN, &request) < 0) return -1;
  }
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(device, SIOCSIFFLAGS, &request);
}

/* A TUN device in the namespace that this process is in. Checksums are left to the receiver, as on a virtual link. */
static int open_tun(struct in_addr address) {
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) return -1;
  struct ifreq request = {0};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  strcpy(request.ifr_name, "wan");
  int device = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct in_addr none = {0};
  if (device >= 0 && ioctl(tun, TUNSETIFF, &request) == 0 && ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM) == 0) {
    set_system("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    /* What one measurement learned of a path is not the next one's to know. */
    set_system("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
    if (set_up(device, "lo", none) == 0 && set_up(device, "wan", address) == 0) {
      close(device);
      return tun;
    }
  }
  int fault = errno;
  if (device >= 0) close(device);
  close(tun);
  errno = fault;
  return -1;
}

const char *make_site(int site, const char *text, const char *namespace) {
  struct in_addr address;
  char path[300];
  if (site < 0 || site >= MAX_SITES || tun_of[site] >= 0) return "no such number";
  if (inet_pton(AF_INET, text, &address) != 1 || ntohl(address.s_addr) >> 24 != 10) return "no such address";
  snprintf(path, sizeof path, "/run/netns/%s", namespace);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) < 0) {
    if (there >= 0) close(there);
    return strerror(errno);
  }
  close(there);
  int tun = open_tun(address);
  int fault = errno;
  if (setns(home_namespace, CLONE_NEWNET) < 0) abort();
  if (tun < 0) return strerror(fault);
  tun_of[site] = tun;
  address_of[site] = address.s_addr;
  site_of_address[ntohl(address.s_addr) & 0xffff] = site + 1;
  return NULL;
}
