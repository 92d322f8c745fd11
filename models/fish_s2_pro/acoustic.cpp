#include "models/fish_s2_pro/acoustic.h"

#include "models/fish_s2_pro/codes.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"

namespace ttsft::fish_s2_pro {
namespace {

torch::Tensor frames_of(const AcousticRow& row, int64_t levels) {
  if (row.codes.numel() == 0) return torch::empty({0, levels}, torch::kInt64);
  return row.codes.to(torch::kInt64);
}

class Stream : public AcousticStream {
 public:
  explicit Stream(Codec codec) : codec_(std::move(codec)), past_(codec_->make_past(1)) {}

  torch::Tensor push(const torch::Tensor& codes) override {
    if (codes.size(0) == 0) return torch::empty({0});
    codec_->check(codes);
    const torch::Device device = codec_->parameters().front().device();
    return codec_->decode_more(codes.to(device, torch::kInt64).unsqueeze(0), past_)[0].to(
        torch::kCPU);
  }
  torch::Tensor flush() override { return torch::empty({0}); }  // causal: nothing is held back

 private:
  Codec codec_;
  CodecPast past_;
};

}  // namespace

std::vector<torch::Tensor> Acoustic::decode(std::span<const AcousticRow> rows) {
  std::vector<torch::Tensor> codes;
  int64_t beyond = 0;
  for (const AcousticRow& row : rows) {
    codes.push_back(frames_of(row, codec_->options().levels()));
    codec_->check(codes.back());
    beyond += codes_beyond(codes.back(), codec_->options().codebooks.back());
  }
  if (beyond > 0)
    log_warning(beyond, " codes lie behind the end of their codebook of ",
                codec_->options().codebooks.back(), ": its last entry is taken for them");
  return codec_->decode(codes);
}

std::unique_ptr<AcousticStream> Acoustic::stream(const AcousticRow& /*row*/) {
  return std::make_unique<Stream>(codec_);
}

}  // namespace ttsft::fish_s2_pro
