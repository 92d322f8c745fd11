#include "models/indextts2/synth.h"

#include "models/indextts2/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/model/merge_adapter.h"
#include "ttsft/model/text_checks.h"
#include "ttsft/nn/rng.h"

namespace ttsft::indextts2 {
namespace {

namespace fs = std::filesystem;

// A complete checkpoint speaks with its own tokenizer, extended or not.
TextOptions text_options(const Config& config, const Options& options) {
  TextOptions text = options.text();
  text.tokenizer = config.bpe_model.lexically_relative(config.folder);
  return text;
}

BigVgan read_vocoder(const Config& config, torch::Device device) {
  const fs::path folder = locate(config, Auxiliary::kBigVgan);
  const BigVganOptions options = read_bigvgan_options(folder / "config.json");
  const MelConfig& mel = config.s2mel.mel;
  if (options.mels != mel.n_mels || options.sample_rate != mel.sample_rate ||
      options.samples_per_frame() != mel.hop_length)
    throw DataError("the vocoder is made for another mel than S2Mel's",
                    (folder / "config.json").string(), "take huggingface.co/" + config.vocoder);
  return load_bigvgan(open_tensor_file(folder / "bigvgan_generator.pt"), options, device);
}

}  // namespace

SpeechSynthesizer::SpeechSynthesizer(const ModelContext& context, const CheckpointRef& checkpoint,
                                     double lora_scale)
    : run_(context.config),
      options_(static_cast<const Options&>(*context.config.model_options)),
      checkpoint_(checkpoint),
      lora_scale_(lora_scale),
      device_(context.device),
      dtype_(context.dtype),
      config_(read_config(base_folder(run_, checkpoint))),
      text_(config_.folder, text_options(config_, options_)) {
  if (run_.data.reference.empty())
    throw UsageError("no voice", "data.reference", "name a recording of it, 3 to 8 s are best");
  c10::InferenceMode inference;
  codec_ = load_repcodec(open_tensor_file(locate(config_, Auxiliary::kSemanticCodec)),
                         config_.semantic_codec, device_);
  s2mel_.emplace(config_, device_);
  vocoder_ = read_vocoder(config_, device_);
  voice_ = make_voice(config_, options_, run_.data.reference, static_cast<uint64_t>(run_.seed),
                      codec_, *s2mel_, device_);
}

std::vector<std::string> SpeechSynthesizer::segments(const std::string& text) const {
  std::vector<std::string> words;
  for (const Segment& segment : text_.segments(text, options_.segments())) {
    words.push_back(segment.text());
    segment_ids_[words.back()] = segment.ids;
  }
  return words;
}

void SpeechSynthesizer::load() {
  if (generator_) return;
  c10::InferenceMode inference;
  model_ = load_gpt(open_gpt(config_.gpt_file), config_.gpt, /*dropout=*/0.0, device_, dtype_);
  model_->eval();
  merge_adapter(*model_, checkpoint_, lora_scale_, device_);
  generator_ = std::make_unique<CodeGenerator>(model_, config_.gpt, device_, dtype_);
}

void SpeechSynthesizer::begin(std::span<const Prompt> prompts, const DecodeOptions& options) {
  load();
  prompts_.clear();
  seeds_.clear();
  for (const Prompt& prompt : prompts) {
    const auto known = segment_ids_.find(prompt.text);
    std::vector<int64_t> ids =
        known != segment_ids_.end() ? known->second : text_.encode(prompt.text);
    check_piece(std::ssize(ids), config_.gpt.max_text_tokens, "indextts2.segment_tokens");
    prompts_.push_back({voice_.condition, voice_.emotion, std::move(ids)});
    seeds_.push_back(prompt.seed);
  }
  const SynthConfig& s = run_.synth;
  GenerateOptions generate;
  generate.sampling.greedy = options.greedy;
  generate.sampling.temperature = s.temperature;
  generate.sampling.top_k = s.top_k;
  generate.sampling.top_p = s.top_p;
  generate.sampling.min_p = s.min_p;
  // --greedy means the likeliest code each time; a search is asked for by its width.
  generate.beams = options.greedy && !run_.given.contains("synth.beams") ? 1 : s.beams;
  generate.repetition_penalty = s.repetition_penalty;
  generate.length_penalty = s.length_penalty;
  generate.max_codes = options.max_frames;
  generate.positions =
      options_.mel_positions == "training" ? MelPositions::kTraining : MelPositions::kUpstream;
  c10::InferenceMode inference;
  generator_->begin(prompts_, seeds_, generate);
}

void SpeechSynthesizer::step() {
  c10::InferenceMode inference;
  generator_->step();
}

std::vector<torch::Tensor> SpeechSynthesizer::codes() {
  c10::InferenceMode inference;
  return generator_->codes();
}

torch::Tensor SpeechSynthesizer::noise_for(const Noise& given, uint64_t seed,
                                           int64_t frames) const {
  const int64_t mels = config_.s2mel.in_channels;
  if (given.empty()) {
    torch::Generator generator = make_generator(device_, derive_seed(seed, "flow"));
    return torch::randn({mels, frames}, generator, torch::TensorOptions().device(device_));
  }
  const auto found = given.find("noise");
  if (found == given.end())
    throw DataError("tensor noise is missing", "--noise", "it holds noise [mels, frames]");
  if (found->second.sizes() != torch::IntArrayRef{mels, frames})
    throw DataError("noise is " + shape_text(found->second.sizes().vec()) + ", prompt and target " +
                        "need " + shape_text({mels, frames}),
                    "--noise");
  return found->second.to(device_);
}

Audio SpeechSynthesizer::speak(const torch::Tensor& codes, const torch::Tensor& latents,
                               const Noise& noise, uint64_t seed) {
  torch::Tensor vectors = codec_->vq2emb(codes);  // [n, hidden]
  if (latents.defined()) vectors = vectors + s2mel_->from_latents(latents.to(torch::kFloat32));
  const int64_t frames = std::max<int64_t>(1, mel_frames(codes.size(0), options_.duration_factor));
  const torch::Tensor condition = s2mel_->regulate(vectors, frames);
  const torch::Tensor mel =
      s2mel_->mel(voice_.mel, condition, noise_for(noise, seed, voice_.mel.mel.size(1) + frames),
                  {options_.diffusion_steps, options_.cfg_rate});
  const torch::Tensor wave =
      vocoder_(mel.unsqueeze(0))[0].to(torch::kCPU, torch::kFloat32).contiguous();
  Audio audio{{}, static_cast<int>(vocoder_->options().sample_rate)};
  audio.samples.assign(wave.data_ptr<float>(), wave.data_ptr<float>() + wave.numel());
  return audio;
}

std::vector<Audio> SpeechSynthesizer::decode(const std::vector<torch::Tensor>& codes,
                                             bool after_prompt, const Noise& noise) {
  c10::InferenceMode inference;
  std::vector<torch::Tensor> rows;
  for (const torch::Tensor& given : codes) {
    const bool column = given.dim() == 2 && given.size(1) == 1;
    if (given.dim() != 1 && !column)
      throw DataError("codes are " + shape_text(given.sizes().vec()) + ", IndexTTS2 has one " +
                          "codebook: [frames]",
                      "--codes-in");
    rows.push_back(given.flatten().to(device_, torch::kInt64));
    const torch::Tensor& row = rows.back();
    if (row.numel() > 0 && (row.min().item<int64_t>() < 0 ||
                            row.max().item<int64_t>() >= config_.semantic_codec.codebook_size))
      throw DataError(
          "a code is outside 0.." + std::to_string(config_.semantic_codec.codebook_size - 1),
          "--codes-in");
  }
  std::vector<torch::Tensor> latents(rows.size());
  if (after_prompt) latents = code_latents(model_, config_.gpt, prompts_, rows);
  std::vector<Audio> waves;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].numel() == 0) {
      waves.push_back({{}, static_cast<int>(vocoder_->options().sample_rate)});
      continue;
    }
    const uint64_t seed = after_prompt ? seeds_.at(i) : static_cast<uint64_t>(run_.seed);
    waves.push_back(speak(rows[i], latents[i], noise, seed));
  }
  return waves;
}

}  // namespace ttsft::indextts2
