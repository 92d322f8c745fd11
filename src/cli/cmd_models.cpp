#include <cstdio>
#include <sstream>

#include "src/cli/command.h"
#include "ttsft/core/strings.h"
#include "ttsft/model/registry.h"

namespace ttsft {
namespace {

using nlohmann::ordered_json;

ordered_json model_json(const ModelInfo& info) {
  return {{"name", info.name},
          {"title", info.title},
          {"paradigm", info.paradigm},
          {"rates",
           {{"encoder_in", info.rates.encoder_in},
            {"codec_out", info.rates.codec_out},
            {"speaker_encoder", info.rates.speaker_encoder},
            {"frames_per_second", info.rates.frames_per_second}}},
          {"stages", info.stages},
          {"lora", !info.lora_targets.empty()},
          {"lora_targets", info.lora_targets},
          {"stage_lora_targets", info.stage_lora_targets},
          {"license", info.license.weights},
          {"commercial_use", info.license.commercial},
          {"license_note", info.license.note},
          {"accept_license",
           info.license.accept.empty() ? ordered_json() : ordered_json(info.license.accept)},
          {"releases", info.releases}};
}

std::string hertz(int rate) {
  return rate > 0 ? std::to_string(rate) + " Hz" : "none";
}

// "q_proj, v_proj", and of the stages whose modules are called otherwise "; flow: to_q, to_k"
std::string lora_text(const ModelInfo& info) {
  if (info.lora_targets.empty()) return "no";
  std::string text = "on " + join(info.lora_targets, ", ");
  for (const auto& [stage, targets] : info.stage_lora_targets)
    text += "; " + stage + ": " + join(targets, ", ");
  return text;
}

void describe(const ModelInfo& info, std::ostream& out) {
  const Rates& rates = info.rates;
  out << info.name << ": " << info.title << "\n"
      << "  paradigm  " << info.paradigm << "\n"
      << "  rates     encoder " << hertz(rates.encoder_in) << ", output " << hertz(rates.codec_out)
      << ", speaker encoder " << hertz(rates.speaker_encoder) << "; " << rates.frames_per_second
      << " frames a second\n"
      << "  stages    " << join(info.stages, ", ") << "\n"
      << "  LoRA      " << lora_text(info) << "\n"
      << "  licence   " << info.license.weights << ", commercial use "
      << (info.license.commercial ? "allowed" : "forbidden")
      << (info.license.note.empty() ? "" : " (" + info.license.note + ")")
      << (info.license.accept.empty() ? "" : "; accept_license: " + info.license.accept) << "\n"
      << "  releases  " << join(info.releases, ", ") << "\n";
}

void list_models(bool as_json) {
  if (as_json) {
    ordered_json models = ordered_json::array();
    for (const ModelAdapter* model : all_models()) models.push_back(model_json(model->info()));
    return print(ordered_json{{"models", models}});
  }
  std::ostringstream out;
  for (const ModelAdapter* model : all_models()) describe(model->info(), out);
  print(out.str());
}

}  // namespace

void add_models(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("models", "lists the models and what each can do");
  auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "the list as one JSON object");
  command->callback([as_json, &action] { action = [as_json] { list_models(*as_json); }; });
}

}  // namespace ttsft
