#include "readback.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace ttsft {

Readback::Readback(const torch::Tensor& values) {
  if (values.is_cpu()) {
    host_ = values;
    return;
  }
  host_ = torch::empty_like(values, values.options().device(torch::kCPU).pinned_memory(true));
  host_.copy_(values, /*non_blocking=*/true);
  done_.emplace(values.device().type());
  const c10::impl::VirtualGuardImpl guard(values.device().type());
  done_->record(guard.getStream(values.device()));
}

std::vector<double> Readback::wait() {
  if (done_) done_->synchronize();
  const double* data = host_.const_data_ptr<double>();
  return {data, data + host_.numel()};
}

}  // namespace ttsft
