#include "models/voxtral/text.h"

#include "models/voxtral/config.h"
#include "ttsft/core/error.h"
#include "ttsft/io/json_reader.h"

namespace ttsft::voxtral {

std::vector<int64_t> Prompt::behind_voice(const std::vector<int64_t>& text) const {
  std::vector<int64_t> ids = {text_follows};
  ids.insert(ids.end(), text.begin(), text.end());
  ids.insert(ids.end(), {speech_follows, begin_audio});
  return ids;
}

Tokenizer::Tokenizer(const std::filesystem::path& checkpoint)
    : tekken_(Tekken::from_file(checkpoint / kTokenizerFile)) {
  const auto id = [&](const char* token) {
    const int64_t found = tekken_.special(token);
    if (found < 0)
      throw DataError(std::string("the tokenizer has no token ") + token,
                      (checkpoint / kTokenizerFile).string(),
                      "take the one of mistralai/Voxtral-4B-TTS-2603");
    return found;
  };
  prompt_ = {id("<s>"), id("[AUDIO]"), id("[BEGIN_AUDIO]"), id("[NEXT_AUDIO_TEXT]"),
             id("[REPEAT_AUDIO_TEXT]")};
}

std::map<std::string, int64_t> voice_sizes(const std::filesystem::path& checkpoint) {
  const auto json = read_json_object(checkpoint / kTokenizerFile);
  std::map<std::string, int64_t> sizes;
  const auto audio = json.find("audio");
  if (audio == json.end() || !audio->is_object()) return sizes;
  const auto counts = audio->find("voice_num_audio_tokens");
  if (counts == audio->end() || !counts->is_object()) return sizes;
  for (const auto& [name, count] : counts->items())
    if (count.is_number_integer()) sizes[name] = count.get<int64_t>();
  return sizes;
}

}  // namespace ttsft::voxtral
