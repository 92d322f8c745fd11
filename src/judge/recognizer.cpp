#include "ttsft/judge/recognizer.h"

#include "ttsft/core/error.h"
#include "ttsft/judge/whisper_files.h"
#include "ttsft/judge/whisper_recognizer.h"

namespace ttsft {

std::unique_ptr<Recognizer> open_recognizer(const std::filesystem::path &folder,
                                            const RecognizerOptions &options) {
  if (is_whisper_folder(folder))
    return open_whisper_recognizer(folder, options);
  throw UsageError(
      "no recogniser is in this folder", folder.string(),
      "give a Whisper: config.json and tokenizer.json beside model.safetensors "
      "(Hugging Face) or model.bin (CTranslate2)");
}

} // namespace ttsft
