/* A plugin: a shared object that gets the system's id from its host and joins in with a peer of its own. See plugin_host.c.
 *
 * Ids work across, since host and plugin use the one loaded library: both link libpotluck.so, and neither the archive. Any host can load
 * it that can call a C function with a 64-bit number, which is how an id is passed; Python can. */
#include <stdio.h>
#include <string.h>

#include "potluck.h"

#define TIMEOUT_MS 10000

static potluck_peer_t cook;

/* Answers what the host asks with a dish made of what the host shares. */
static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  char dish[64];
  const uint8_t *data;
  size_t data_len;
  potluck_resource_t herb;
  potluck_message_info_t info = {.struct_size = sizeof info};
  potluck_status_t status = potluck_message_info(message, &info);
  (void)user_data;
  if (status != POTLUCK_OK) return status;
  if (strcmp(info.kind, "cook") != 0) return POTLUCK_E_UNKNOWN_MESSAGE;
  if ((status = potluck_peer_request(peer, info.from, "herb", TIMEOUT_MS, &herb)) != POTLUCK_OK) return status;
  potluck_resource_data(herb, &data, &data_len);
  int dish_len = snprintf(dish, sizeof dish, "soup with %.*s", (int)data_len, (const char *)data);
  potluck_resource_release(herb);
  return potluck_message_reply(message, dish, (size_t)dish_len);
}

/* What the host calls: an id is passed like the number it holds. */
potluck_status_t plugin_start(potluck_system_t system);
potluck_status_t plugin_stop(void);

potluck_status_t plugin_start(potluck_system_t system) {
  potluck_peer_options_t options = {.struct_size = sizeof options, .on_message = on_message};
  potluck_status_t status = potluck_check(POTLUCK_ABI, NULL);
  if (status != POTLUCK_OK) return status;
  return potluck_peer_spawn(system, "cook", &options, &cook);
}

/* When this returns OK, no callback runs or will run: the host may unload the plugin's code. */
potluck_status_t plugin_stop(void) { return potluck_peer_close(cook, TIMEOUT_MS); }
