// A shared library with much thread-local storage, to use up what the loader keeps for such. dlopen_test loads it.
namespace {
thread_local char much[64 << 10] = {1};
}

extern "C" __attribute__((visibility("default"))) int touch_tls()
{
  much[100] = 2;
  return much[0];
}
