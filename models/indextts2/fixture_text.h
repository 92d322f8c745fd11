// A small SentencePiece model for fixtures: control pieces at their places, letters in capitals, a
// few pairs. Format: sentencepiece_model.proto of google/sentencepiece.
#pragma once

#include <string>
#include <vector>

namespace ttsft::indextts2 {

struct FixtureTokenizer {
  std::string model;  // content of bpe.model
  int64_t pieces;
};
// `more`: pieces behind the others, each made of two that exist.
FixtureTokenizer fixture_tokenizer(const std::vector<std::string>& more = {});

}  // namespace ttsft::indextts2
