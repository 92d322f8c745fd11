#include "models/voxtral/encoder_objective.h"

#include <algorithm>

#include "models/voxtral/errors.h"
#include "ttsft/nn/length_batches.h"
#include "ttsft/nn/loss.h"

namespace ttsft::voxtral {
namespace {

constexpr double kTrainSeconds = 4, kEvalSeconds = 10;  // of a recording that is heard
constexpr double kVqShare = 0.5;                        // of clips whose semantic code is quantised
constexpr double kFsqShare = 0.5,
                 kBlurShare = 0.25;  // of those whose acoustic ones are, or blurred
constexpr double kCommitment = 0.1;
constexpr double kSemantic = 0.2, kAcoustic = 4;  // weights of what the known codes teach
constexpr double kTemperature = 0.5;              // of distances to the entries
constexpr double kSmooth = 0.05;                  // where the L1 of acoustic values is round

MelOptions mel_options(int64_t sample_rate) {
  MelOptions options;
  options.sample_rate = sample_rate;
  options.bins = 80;
  options.magnitude_epsilon = 1e-9;  // a gradient at silence
  return options;
}

torch::Tensor flag(bool on) {
  return torch::full({1, 1, 1}, on ? 1.0f : 0.0f);
}

}  // namespace

void EncoderBatch::each(const std::function<void(torch::Tensor&)>& visit) {
  for (torch::Tensor* tensor :
       {&waves, &wave_row, &vq, &fsq, &blur, &shift, &codes, &frame_position, &frame_row})
    visit(*tensor);
}

EncoderObjective::EncoderObjective(Codec codec, double synthetic_weight, AnchorCodes anchors)
    : codec_(std::move(codec)),
      synthetic_weight_(synthetic_weight),
      anchors_(std::move(anchors)),
      mel_(mel_options(codec_.config().sample_rate), codec_.device()) {}

EncoderBatch EncoderObjective::collate(std::span<const EncoderSample* const> samples,
                                       const Draw& draw) const {
  const CodecConfig& config = codec_.config();
  const auto heard =
      static_cast<int64_t>((draw.training ? kTrainSeconds : kEvalSeconds) * config.frame_rate()) *
      config.hop();
  EncoderBatch batch;
  std::vector<torch::Tensor> waves, vq, fsq, blur, shift, codes;
  std::vector<int64_t> wave_row, code_row;
  for (const EncoderSample* sample : samples) {
    const auto row = std::ssize(batch.ids);
    const std::string& id = sample->id;
    batch.ids.push_back(id);
    if (!sample->wave.defined()) {
      codes.push_back(sample->codes);
      code_row.push_back(row);
      continue;
    }
    torch::Tensor wave = sample->wave;
    if (wave.size(0) > heard) {
      const auto room = static_cast<float>(wave.size(0) - heard);
      const auto from =
          draw.training ? static_cast<int64_t>(draw.uniform(id, "crop", {1}).item<float>() * room)
                        : 0;
      wave = wave.narrow(0, from, heard);
    }
    const int64_t frames = config.frames(wave.size(0));
    waves.push_back(wave);
    wave_row.push_back(row);
    batch.samples.push_back(wave.size(0));
    const float acoustic = draw.uniform(id, "acoustic", {1}).item<float>();
    vq.push_back(flag(!draw.training || draw.happens(id, "vq", kVqShare)));
    fsq.push_back(flag(!draw.training || acoustic < kFsqShare));
    blur.push_back(
        flag(draw.training && acoustic >= kFsqShare && acoustic < kFsqShare + kBlurShare));
    shift.push_back(2 * draw.uniform(id, "shift", {frames, config.acoustic_dim}) - 1);
    if (synthetic_weight_ > 0) {
      codes.push_back(anchors_(id, frames, draw));
      code_row.push_back(row);
    }
  }
  if (!waves.empty()) {
    batch.waves = pad_waves(waves, config.hop(), torch::kCPU);
    batch.wave_row = torch::tensor(wave_row, torch::kInt64);
    batch.vq = torch::cat(vq);
    batch.fsq = torch::cat(fsq);
    batch.blur = torch::cat(blur);
    batch.shift = pad_rows(shift);
    const auto rows = static_cast<double>(waves.size());
    for (const char* term : {"wave", "spectrum", "mel", "commitment"})
      batch.supervised[term] = rows;
    batch.positions += batch.shift.size(0) * batch.shift.size(1);
  }
  if (!codes.empty()) {
    batch.codes = pad_rows(codes);
    const int64_t time = batch.codes.size(1);
    std::vector<int64_t> position, row;
    for (size_t s = 0; s < codes.size(); ++s) {
      batch.frames.push_back(codes[s].size(0));
      for (int64_t f = 0; f < codes[s].size(0); ++f) {
        position.push_back(static_cast<int64_t>(s) * time + f);
        row.push_back(code_row[s]);
      }
    }
    batch.frame_position = torch::tensor(position, torch::kInt64);
    batch.frame_row = torch::tensor(row, torch::kInt64);
    for (const char* term : {"semantic", "entry", "acoustic"})
      batch.supervised[term] = static_cast<double>(position.size());
    batch.positions += batch.codes.size(0) * time;
    batch.padding += batch.codes.size(0) * time - std::ssize(position);
  }
  for (const int64_t n : batch.samples) batch.padding += batch.shift.size(1) - config.frames(n);
  return batch;
}

void EncoderObjective::add_real(CodecEncoder& encoder, const EncoderBatch& batch,
                                std::vector<LossTerm>& terms) {
  const CodecConfig& config = codec_.config();
  const torch::Tensor latent = encoder(batch.waves, batch.samples).transpose(1, 2);
  const torch::Tensor vectors = latent.narrow(2, 0, config.semantic_dim);
  const torch::Tensor values =
      torch::tanh(latent.narrow(2, config.semantic_dim, config.acoustic_dim));
  const torch::Tensor entry =
      codec_.quantizer->codebook()
          .index_select(0, codec_.quantizer->nearest(vectors.detach().flatten(0, 1)))
          .view_as(vectors);
  const torch::Tensor coded = values_of(codes_at(values.detach(), config.levels), config.levels);
  const torch::Tensor semantic = vectors + batch.vq * (entry - vectors).detach();
  const torch::Tensor acoustic =
      values + batch.fsq * (coded - values).detach() + batch.blur * batch.shift / config.levels;
  const torch::Tensor wave =
      codec_.decoder(torch::cat({semantic, acoustic}, 2).transpose(1, 2));  // [R, N]
  std::vector<int64_t> frames, mel_frames;
  for (const int64_t n : batch.samples) {
    frames.push_back(config.frames(n));
    mel_frames.push_back(std::max<int64_t>(1, stft_frames(mel_.options().stft, n)));
  }
  const auto add = [&](const char* name, double weight, const torch::Tensor& value) {
    terms.push_back({name, weight, value, {}, batch.wave_row});
  };
  add("wave", 1, wave_error(wave, batch.waves, batch.samples));
  add("spectrum", 1, spectral_error(wave, batch.waves, batch.samples));
  add("mel", 1, mean_of_first((mel_(wave) - mel_(batch.waves)).abs(), mel_frames));
  add("commitment", kCommitment, mean_of_first((vectors - entry).square(), frames));
}

void EncoderObjective::add_synthetic(CodecEncoder& encoder, const EncoderBatch& batch,
                                     bool accuracy, std::vector<LossTerm>& terms) {
  const CodecConfig& config = codec_.config();
  std::vector<int64_t> samples;
  for (const int64_t n : batch.frames) samples.push_back(n * config.hop());
  torch::Tensor waves;
  {
    const torch::NoGradGuard no_grad;
    waves = codec_.decoder(codec_.quantizer->decode(batch.codes).transpose(1, 2));
    zero_beyond_(waves, samples);  // as a recording is behind its end
  }
  const auto own = [&](const torch::Tensor& x) {
    return x.flatten(0, 1).index_select(0, batch.frame_position);  // [F, ..]
  };
  const torch::Tensor latent = own(encoder(waves, samples).transpose(1, 2));
  const torch::Tensor codes = own(batch.codes);
  const torch::Tensor vectors = latent.narrow(1, 0, config.semantic_dim);
  const torch::Tensor& entries = codec_.quantizer->codebook();
  const torch::Tensor target = codes.select(1, 0);
  // - |z - E|^2 / t, of which |z|^2 is the same for all entries.
  const torch::Tensor weight = entries * (2 / kTemperature);
  const torch::Tensor bias = entries.square().sum(1) * (-1 / kTemperature);
  const TokenLoss nearest = linear_cross_entropy(vectors, weight, bias, target, accuracy);
  const torch::Tensor apart = (vectors - entries.index_select(0, target)).square().mean(1);
  const torch::Tensor values =
      torch::tanh(latent.narrow(1, config.semantic_dim, config.acoustic_dim));
  const torch::Tensor wanted = values_of(codes.narrow(1, 1, config.acoustic_dim), config.levels);
  const torch::Tensor rounded = torch::smooth_l1_loss(values, wanted, at::Reduction::None, kSmooth);
  terms.push_back(
      {"semantic", synthetic_weight_ * kSemantic, nearest.nll, nearest.correct, batch.frame_row});
  terms.push_back({"entry", synthetic_weight_, apart, {}, batch.frame_row});
  terms.push_back(
      {"acoustic", synthetic_weight_ * kAcoustic, rounded.mean(1), {}, batch.frame_row});
}

std::vector<LossTerm> EncoderObjective::loss(CodecEncoder& encoder, const EncoderBatch& batch,
                                             bool accuracy) {
  std::vector<LossTerm> terms;
  if (batch.waves.defined()) add_real(encoder, batch, terms);
  if (batch.codes.defined()) add_synthetic(encoder, batch, accuracy, terms);
  return terms;
}

}  // namespace ttsft::voxtral
