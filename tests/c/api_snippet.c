/* The snippet of the design, as written there, with the declarations around it. */
#include "harness.h"

int main(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_resource_t soup;
  const uint8_t *data;
  size_t data_len;
  begin();

  potluck_system_open("kitchen", NULL, &kitchen);
  potluck_peer_spawn(kitchen, "ada", NULL, &ada);   potluck_peer_spawn(kitchen, "bob", NULL, &bob);
  potluck_peer_share(ada, "soup", "tomato", 6, NULL);
  potluck_peer_request(bob, "ada", "soup", 1000, &soup);
  potluck_resource_data(soup, &data, &data_len);    /* borrowed until released */
  CHECK(data_len == 6 && memcmp(data, "tomato", 6) == 0);
  potluck_resource_release(soup);
  potluck_system_shutdown(kitchen, 1000, NULL);

  EXPECT(POTLUCK_E_CLOSED, potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  return end("api_snippet");
}
