/* A plugin: the host gives it the id of its system, and it joins in with a peer whose callbacks are the plugin's own code. */
#include <string.h>

#include "potluck.h"

static potluck_peer_t peer;

static potluck_status_t answer(potluck_peer_t self, potluck_message_t message, void *user_data) {
  (void)self;
  return potluck_message_reply(message, user_data, strlen(user_data));
}

static void stop(potluck_peer_t self, void *user_data) {
  (void)self;
  strcpy(user_data, "left");
}

potluck_status_t plugin_join(potluck_system_t kitchen, char *user_data);
potluck_status_t plugin_join(potluck_system_t kitchen, char *user_data) {
  potluck_peer_options_t options = {
      .struct_size = sizeof options, .on_message = answer, .on_stop = stop, .user_data = user_data};
  const potluck_status_t status = potluck_peer_spawn(kitchen, "plugin", &options, &peer);
  return status ? status : potluck_peer_share(peer, "dish", "from the plugin", 15, NULL);
}

potluck_status_t plugin_leave(void);
potluck_status_t plugin_leave(void) { return potluck_peer_close(peer, 10000); }
