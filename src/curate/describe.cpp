// The result of curate in words.
#include <array>
#include <cstdio>

#include "ttsft/core/progress.h"
#include "ttsft/curate/curate.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

std::string line(const std::string& name, const ordered_json& tally) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "  %-20s %6lld clips  %8s\n", name.c_str(),
                static_cast<long long>(tally["clips"].get<int64_t>()),
                clock_text(tally["seconds"].get<double>()).c_str());
  return text.data();
}

std::string describe_plan(const ordered_json& plan) {
  std::string words;
  for (const ordered_json& one : plan["recordings"])
    words += one["recording"].get<std::string>() + ": texts by " + one["texts"].get<std::string>() +
             (one["new"].get<bool>() ? "" : ", known already") + "\n";
  return words;
}

}  // namespace

std::string describe_curate(const ordered_json& result) {
  if (!result.contains("clips")) return describe_plan(result);
  std::string words = result["recordings"].dump() + " recordings (" + result["new"].dump() +
                      " new), " + clock_text(result["recorded_seconds"].get<double>()) +
                      " in all\n";
  words += "kept\n";
  for (const ordered_json& speaker : result["speakers"])
    words += line(speaker["name"].get<std::string>(), speaker);
  if (!result["dropped"].empty()) words += "set aside\n";
  for (const auto& [reason, tally] : result["dropped"].items()) words += line(reason, tally);
  for (const ordered_json& refused : result["refused"])
    words += "not used: " + refused["reason"].get<std::string>() + "\n";
  words += "listen and correct: " + result["review"].get<std::string>() + "\n";
  words += "then: data.source: " + result["out"].get<std::string>() + "\n";
  return words;
}

}  // namespace ttsft
