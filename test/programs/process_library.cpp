// Leaks through a shared library that uses process_resource() itself. process_resource_test runs it.
extern "C" void forget_in_library();

int main() { forget_in_library(); }
