#include "models/voxtral/encoding.h"

#include <cstdio>

#include "models/voxtral/codes.h"
#include "models/voxtral/inversion.h"
#include "ttsft/audio/audio.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"

namespace ttsft::voxtral {

const char* const kNoEncoder =
    "the release has no codec encoder (audio_tokenizer.input_proj.*, "
    "audio_tokenizer.encoder_blocks.*)";
const char* const kNoEncoderRemedy =
    "put a voxtral_encoder.safetensors beside the weights, set voxtral.codes: invert, train one "
    "with train.stage: encoder, or give rows that bring codes";

Encoding choose_encoding(const Options& options, bool encoder, const std::string& stage) {
  if (options.codes == "invert") return Encoding::kInvert;
  if (options.codes == "none") return Encoding::kNone;
  if (options.codes == "auto" && stage == "encoder") return Encoding::kNone;
  if (encoder) return Encoding::kEncoder;
  if (options.codes == "encoder")
    throw DataError(kNoEncoder, "voxtral.codes: encoder", kNoEncoderRemedy);
  return Encoding::kMissing;
}

std::vector<EncodedClip> encode_waves(Codec& codec, const std::vector<torch::Tensor>& waves,
                                      Encoding encoding, const Options& options) {
  std::vector<EncodedClip> clips;
  switch (encoding) {
    case Encoding::kEncoder:
      for (torch::Tensor& codes : codec.encode(waves)) clips.push_back({std::move(codes)});
      return clips;
    case Encoding::kInvert:
      for (InvertedClip& clip : invert(codec, waves, {.steps = options.invert_steps}))
        clips.push_back({std::move(clip.codes), clip.error});
      return clips;
    default:
      throw DataError(kNoEncoder, "", kNoEncoderRemedy);
  }
}

torch::Tensor voice_codes(const std::filesystem::path& reference, Codec& codec,
                          const Config& config, Encoding encoding, const Options& options) {
  if (is_codes_file(reference)) return read_codes_file(reference, config);
  // A run file for the training of an encoder speaks with it.
  if (encoding == Encoding::kNone && codec.encodes()) encoding = Encoding::kEncoder;
  if (encoding == Encoding::kNone || encoding == Encoding::kMissing)
    throw DataError(kNoEncoder, reference.string(), kNoEncoderRemedy);
  const torch::Tensor wave = torch::tensor(
      at_rate(decode_audio(reference).audio, static_cast<int>(config.codec.sample_rate)));
  if (wave.size(0) < config.codec.hop())
    throw DataError("the recording is shorter than a frame", reference.string(),
                    "give one of 3 to 25 s");
  const EncodedClip clip =
      encode_waves(codec, {wave.to(codec.device())}, encoding, options).front();
  if (encoding == Encoding::kInvert) {
    char error[32];
    std::snprintf(error, sizeof error, "%.3f", clip.error);
    if (clip.error > options.invert_limit)
      throw DataError(std::string("no codes sound like it: spectral error ") + error,
                      reference.string(),
                      "give a cleaner recording, more voxtral.invert_steps, or move "
                      "voxtral.invert_limit");
    log_info("codes of ", reference.filename().string(), " by inversion: spectral error ", error);
  }
  return clip.codes;
}

}  // namespace ttsft::voxtral
