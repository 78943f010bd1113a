// While one lives, the calling thread is not cancelled (pthread_cancel). Opening, reading and writing files are
// cancellation points, and allocating and freeing are none: a thread that another one wants to end still tells its
// mistake, and ends at its own next point.
#pragma once

#include <pthread.h>

namespace gpa::detail {

class no_cancellation {
 public:
  no_cancellation() noexcept { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~no_cancellation() { ::pthread_setcancelstate(before_, nullptr); }
  no_cancellation(const no_cancellation&) = delete;
  no_cancellation& operator=(const no_cancellation&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace gpa::detail
