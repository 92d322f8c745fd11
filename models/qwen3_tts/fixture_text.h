// A small byte-level BPE vocabulary for fixtures: all bytes, a few words, filled up to the size of
// the release.
#pragma once

#include <cstdint>
#include <string>

namespace ttsft::qwen3_tts {

struct FixtureText {
  std::string vocab, merges,
      tokenizer_config;  // contents of vocab.json, merges.txt, tokenizer_config.json
  int64_t assistant_id = 0, tts_bos_id = 0;
};

// first_special: the id of <|endoftext|>, which is also the size of vocab.json.
FixtureText fixture_text(int64_t first_special);

}  // namespace ttsft::qwen3_tts
