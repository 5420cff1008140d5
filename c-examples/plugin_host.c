/* The host of a plugin: loads a shared object, gives it the system's id, asks the peer that has joined in, and unloads it again.
 *
 *   plugin_host path/to/plugin.so
 *
 * Prints what the plugin's peer answers. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "potluck.h"

#define TIMEOUT_MS 10000

/* Ends the program unless the call succeeded. */
static void check(potluck_status_t status, const char *call) {
  if (status == POTLUCK_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", call, potluck_status_str(status), potluck_last_error());
  exit(1);
}

typedef potluck_status_t (*start_fn)(potluck_system_t system);
typedef potluck_status_t (*stop_fn)(void);

/* A function of the plugin, as POSIX has it: written through a pointer to the pointer. */
static void find(void *plugin, const char *name, void *function) {
  void *found = dlsym(plugin, name);
  if (found == NULL) {
    fprintf(stderr, "no %s in the plugin: %s\n", name, dlerror());
    exit(1);
  }
  memcpy(function, &found, sizeof found);
}

int main(int argc, char **argv) {
  potluck_system_t kitchen;
  potluck_peer_t host;
  potluck_resource_t dish;
  const uint8_t *data;
  size_t data_len;
  start_fn start;
  stop_fn stop;
  void *plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (plugin == NULL) {
    fprintf(stderr, "usage: plugin_host path/to/plugin.so (%s)\n", argc == 2 ? dlerror() : "no path");
    return 2;
  }
  find(plugin, "plugin_start", &start);
  find(plugin, "plugin_stop", &stop);

  check(potluck_system_open("kitchen", NULL, &kitchen), "open");
  check(potluck_peer_spawn(kitchen, "host", NULL, &host), "spawn");
  check(potluck_peer_share(host, "herb", "basil", 5, NULL), "share");
  check(start(kitchen), "start");
  check(potluck_system_wait_for(kitchen, "cook", TIMEOUT_MS), "wait for the cook");
  check(potluck_peer_ask(host, "cook", "cook", NULL, 0, TIMEOUT_MS, &dish), "ask");
  check(potluck_resource_data(dish, &data, &data_len), "data");
  printf("the plugin cooks %.*s\n", (int)data_len, (const char *)data);

  /* The answer outlives the plugin: its bytes are the library's. */
  check(stop(), "stop");
  if (dlclose(plugin) != 0) return 1;
  printf("unloaded; still %.*s\n", (int)data_len, (const char *)data);
  check(potluck_resource_release(dish), "release");
  check(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL), "shutdown");
  return 0;
}
