#include "models/indextts2/emotion.h"

#include <algorithm>
#include <numeric>

#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/rng.h"
#include "ttsft/nn/weights.h"

namespace ttsft::indextts2 {
namespace {

constexpr double kDecimals = 10000;

// Rows of a file that holds one matrix, split by emotion.
std::vector<torch::Tensor> read_groups(const std::filesystem::path& path,
                                       const std::vector<int64_t>& sizes, int64_t width,
                                       torch::Device device) {
  const auto file = TorchFile::open(path);
  const TensorView* view = file->root().tensor();
  const int64_t rows = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  if (!view || view->shape != Shape{rows, width}) {
    throw DataError("not " + std::to_string(rows) + " vectors of " + std::to_string(width) +
                        " values, as emo_num of config.yaml and the weights want",
                    path.string(), "take all files from one release");
  }
  return copy_tensor(*view).to(device, torch::kFloat32).split_with_sizes(sizes, 0);
}

}  // namespace

torch::Tensor blend_emotions(const torch::Tensor& voice, const torch::Tensor& other, double alpha) {
  return voice + alpha * (other - voice);
}

std::vector<double> scale_shares(std::vector<double> shares, double alpha) {
  const double scale = std::clamp(alpha, 0.0, 1.0);
  if (scale == 1.0) return shares;
  for (double& share : shares)
    share = static_cast<double>(static_cast<int64_t>(share * scale * kDecimals)) / kDecimals;
  return shares;
}

EmotionExamples::EmotionExamples(const Config& config, torch::Device device) {
  if (std::ssize(config.emotion_groups) != kEmotions)
    throw DataError("emo_num has not " + std::to_string(kEmotions) + " numbers",
                    (config.folder / "config.yaml").string());
  speakers_ =
      read_groups(config.speaker_matrix, config.emotion_groups, config.s2mel.style_dim, device);
  emotions_ =
      read_groups(config.emotion_matrix, config.emotion_groups, config.gpt.model_dim, device);
}

std::vector<int64_t> EmotionExamples::nearest(const torch::Tensor& style) const {
  std::vector<int64_t> rows;
  for (const torch::Tensor& group : speakers_) {
    const torch::Tensor likeness = torch::cosine_similarity(
        style.to(group.device(), torch::kFloat32).view({1, -1}), group, /*dim=*/1);
    rows.push_back(likeness.argmax().item<int64_t>());
  }
  return rows;
}

std::vector<int64_t> EmotionExamples::random(uint64_t seed) const {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < speakers_.size(); ++i) {
    const uint64_t draw = derive_seed(seed, "emotion " + std::to_string(i));
    rows.push_back(static_cast<int64_t>(draw % static_cast<uint64_t>(speakers_[i].size(0))));
  }
  return rows;
}

torch::Tensor EmotionExamples::mix(const std::vector<double>& shares,
                                   const std::vector<int64_t>& examples,
                                   const torch::Tensor& own) const {
  torch::Tensor sum = torch::zeros_like(emotions_[0][0]);
  double total = 0;
  for (size_t i = 0; i < emotions_.size(); ++i) {
    sum = sum + shares.at(i) * emotions_[i][examples.at(i)];
    total += shares[i];
  }
  return sum + (1 - total) * own.to(sum.device());
}

}  // namespace ttsft::indextts2
