#include "models/cosyvoice3/voice.h"

#include "models/cosyvoice3/config.h"
#include "models/cosyvoice3/encoders.h"
#include "models/cosyvoice3/weights.h"
#include "ttsft/core/error.h"
#include "ttsft/core/strings.h"
#include "ttsft/io/torch_file.h"
#include "ttsft/nn/weights.h"

namespace ttsft::cosyvoice3 {
namespace {

namespace fs = std::filesystem;

torch::Tensor tensor_of(const TorchValue& entry, const char* key) {
  const TorchValue* value = entry.find(key);
  return value && value->tensor() ? copy_tensor(*value->tensor()) : torch::Tensor();
}

std::vector<int64_t> ids_of(const torch::Tensor& tensor) {
  const torch::Tensor ids = tensor.flatten().to(torch::kInt64).contiguous();
  return {ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel()};
}

std::shared_ptr<const TorchFile> open_voices(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kVoicesFile;
  if (!fs::exists(file)) return nullptr;
  auto voices = TorchFile::open(file);
  if (!voices->root().dict())
    throw DataError("not a dictionary of voices", file.string(), "copy it again");
  return voices;
}

}  // namespace

Voice voice_of_recording(const fs::path& recording, const fs::path& checkpoint, SegmentMean pool,
                         torch::Device device) {
  const Audio audio = decode_audio(recording).audio;
  if (audio.sample_rate < kTokenizerRate)
    throw DataError("a voice of " + std::to_string(audio.sample_rate) + " Hz", recording.string(),
                    "give a recording of 16 kHz or more");
  S3Tokenizer tokenizer = load_tokenizer(checkpoint, device);
  Campplus speaker = load_speaker_network(checkpoint, device, pool);
  const MelExtractor mel(s3_flow_mel_options(/*fmax=*/0), device);
  Voice voice;
  voice.flow = make_s3_voice(
      tokenizer, speaker, mel, torch::tensor(resampled(audio, kTokenizerRate)).to(device),
      torch::tensor(resampled(audio, kOutputRate)).to(device), S3Alignment::kCutBoth);
  return voice;
}

std::vector<std::string> stored_voices(const fs::path& checkpoint) {
  std::vector<std::string> names;
  if (const auto voices = open_voices(checkpoint)) {
    for (const TorchValue::Entry& entry : *voices->root().dict()) names.push_back(entry.first);
  }
  return names;
}

Voice stored_voice(const fs::path& checkpoint, const std::string& name, bool vector_only,
                   int64_t mels) {
  const auto voices = open_voices(checkpoint);
  const TorchValue* entry = voices ? voices->root().find(name) : nullptr;
  if (!entry) {
    const auto known = stored_voices(checkpoint);
    throw UsageError("the checkpoint has no voice '" + name + "'", "data.speaker",
                     known.empty() ? "it has none: name a recording in data.reference"
                                   : "known: " + join(known, ", "));
  }
  Voice voice;
  voice.flow.embedding = tensor_of(*entry, "embedding");
  if (!voice.flow.embedding.defined()) voice.flow.embedding = tensor_of(*entry, "llm_embedding");
  if (!voice.flow.embedding.defined())
    throw DataError("the voice '" + name + "' has no vector", voices->path().string());
  voice.flow.embedding = voice.flow.embedding.flatten().to(torch::kFloat32);
  voice.flow.prompt_token = torch::empty({0}, torch::kInt64);
  voice.flow.prompt_feat = torch::empty({0, mels});
  if (vector_only) return voice;
  const torch::Tensor text = tensor_of(*entry, "prompt_text");
  const torch::Tensor codes = tensor_of(*entry, "flow_prompt_speech_token");
  const torch::Tensor feat = tensor_of(*entry, "prompt_speech_feat");
  const torch::Tensor vector = tensor_of(*entry, "flow_embedding");
  if (!text.defined() || !codes.defined() || !feat.defined())
    throw UsageError("the voice '" + name + "' is a vector without a prompt", "cosyvoice3.mode",
                     "use mode: sft");
  voice.prompt_text = ids_of(text);
  voice.flow.prompt_token = codes.flatten().to(torch::kInt64);
  voice.flow.prompt_feat = feat.reshape({-1, mels}).to(torch::kFloat32);
  if (vector.defined()) voice.flow.embedding = vector.flatten().to(torch::kFloat32);
  align_s3_voice(voice.flow, S3Alignment::kCutBoth);
  return voice;
}

}  // namespace ttsft::cosyvoice3
