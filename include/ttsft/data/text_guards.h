// What speaks against a text, whatever the model: in prep for a transcript, in synth for what is to
// be spoken.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ttsft/audio/guards.h"
#include "ttsft/text/regex.h"

namespace ttsft {

// Findings of text_unspoken, text_control and text_markup as the policy wants them, refusals first.
// own_markup: regular expressions of marks that the model understands (ModelInfo::markup).
class TextGuards {
 public:
  explicit TextGuards(const std::vector<std::string>& own_markup);
  std::vector<Finding> check(const std::string& text, const GuardPolicy& policy) const;

 private:
  std::unique_ptr<const Regex> own_;  // all of them; null for none
};

// How much there is to say: letters and digits, an ideograph as three of them (it is a syllable).
double spoken_length(const std::string& text);

}  // namespace ttsft
