// Facts about a model that need no weights.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace ttsft {

// Three rates that are easily confused and ruin a run when they are. Hz.
struct Rates {
  int encoder_in = 0;       // what the codec or tokenizer that makes the training targets hears
  int codec_out = 0;        // what synth writes
  int speaker_encoder = 0;  // what the voice reference is brought to; 0: the model has none
  double frames_per_second = 0;  // of the outer language model
};

struct License {
  std::string weights;  // "Apache-2.0"
  bool commercial = true;
  std::string note;  // what a user should know before a run; "" when nothing
  // What `accept_license` must say before train and export; "" where the weights are free for all
  // use.
  std::string accept;
};

// What one checkpoint can be used for: told before anything of it is loaded.
struct Abilities {
  bool encode_audio = true;         // prep takes recordings; else only rows that bring their codes
  bool clone = true;                // synth speaks with the voice of a recording
  bool stream = false;              // its codes become sound while more of them come
  std::vector<std::string> stages;  // what can be trained
  std::string why_not;              // the cause of what it lacks, for an error line
  std::string remedy;               // what would help; "": nothing that a run file could say
};

struct ModelInfo {
  std::string name;      // as in the run file: "qwen3-tts"
  std::string folder;    // models/<folder>
  std::string title;     // "Qwen3-TTS 12Hz"
  std::string paradigm;  // how it speaks, in one line
  Rates rates;
  License license;
  std::vector<std::string> stages;  // what can be trained: "lm", "flow"
  // Of a model with several stages: how the dotted paths of each one's modules begin. An adapter
  // that another tool wrote says its stage by them.
  std::map<std::string, std::vector<std::string>> stage_modules;
  std::vector<std::string> lora_targets;  // default adapter sites
  // Of the stages whose modules are called otherwise.
  std::map<std::string, std::vector<std::string>> stage_lora_targets;
  // Stages whose weights encode recordings: prep hears them, and synth in its voice reference, but
  // no codes are spoken or decoded with them.
  std::vector<std::string> prep_stages;
  std::vector<std::string> releases;  // checkpoints it takes
  // Marks in a text that it understands, as regular expressions; it would read others aloud.
  std::vector<std::string> markup{};
  // What adapter_config.json calls the task: PEFT wraps a module of Hugging Face's causal language
  // models by it. "": written as null, for modules of a model's own.
  std::string peft_task_type = "CAUSAL_LM";
};

}  // namespace ttsft
