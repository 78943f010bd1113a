// A shared library with one function, built several times: what differs is how large the frame of that function is.
// Loaded one after the other at one address, they have the same return address and other frames around it.
#if defined(GPA_TEST_BULK_BYTES)
extern "C" {
extern char bulk[];
__attribute__((visibility("default"))) char bulk[GPA_TEST_BULK_BYTES];
}
#endif

extern "C" __attribute__((visibility("default"), noinline)) void call_back(void (*function)(), int* after)
{
  char room[GPA_TEST_FRAME_BYTES];
  asm volatile("" : : "r"(room) : "memory");
  function();
  asm volatile("" : : "r"(room) : "memory");
  ++*after;  // not a tail call
}
