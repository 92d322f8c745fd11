#include "models/voxtral/acoustic.h"

namespace ttsft::voxtral {
namespace {

class Stream : public AcousticStream {
 public:
  explicit Stream(Codec codec)
      : codec_(std::move(codec)),
        past_(torch::empty({0, codec_.config().codebooks()}, torch::kInt64)) {}

  torch::Tensor push(const torch::Tensor& codes) override {
    if (codes.size(0) == 0) return torch::empty({0});
    const torch::Tensor heard = torch::cat({past_, codes.to(torch::kCPU, torch::kInt64)});
    const int64_t before = past_.size(0), kept = codec_.decoder->past_frames();
    past_ = heard.slice(0, std::max<int64_t>(0, heard.size(0) - kept)).clone();
    return codec_.decode({heard}).front().slice(0, before * codec_.config().hop()).clone();
  }
  torch::Tensor flush() override { return torch::empty({0}); }  // causal: nothing is held back

 private:
  Codec codec_;
  torch::Tensor past_;
};

}  // namespace

std::vector<torch::Tensor> Acoustic::decode(std::span<const AcousticRow> rows) {
  std::vector<torch::Tensor> codes;
  for (const AcousticRow& row : rows)
    codes.push_back(row.codes.numel() == 0
                        ? torch::empty({0, codec_.config().codebooks()}, torch::kInt64)
                        : row.codes.to(torch::kInt64));
  return codec_.decode(codes);
}

std::unique_ptr<AcousticStream> Acoustic::stream(const AcousticRow& /*row*/) {
  return std::make_unique<Stream>(codec_);
}

}  // namespace ttsft::voxtral
