#include "ttsft/config/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_support.h"
#include "ttsft/core/error.h"

namespace ttsft {
namespace {

using test::error_of;
using test::RunFile;

struct Case {
  const char* yaml;
  const char* error;
};

TEST(Validate, Ranges) {
  for (const Case& c : std::vector<Case>{
           {"seed: -1", "seed: must be at least 0, is -1"},
           {"device: gpu", "device: wants auto, cpu, cuda or cuda:N, got `gpu`"},
           {"device: 'cuda:'", "device: wants auto, cpu, cuda or cuda:N, got `cuda:`"},
           {"device: cuda:x", "device: wants auto, cpu, cuda or cuda:N, got `cuda:x`"},
           {"precision: fp23",
            "precision: wants one of auto, fp32, bf16, got `fp23`; did you mean fp32?"},
           {"data: {guards: {clipping: of}}",
            "data.guards.clipping: wants one of refuse, warn, off, got `of`; did you mean off?"},
           {"train: {checks: {frame_ofset: warn}}",
            "train.checks: wants one of supervised, decoding, frame_offset, draws, gradient, got "
            "`frame_ofset`; did you mean frame_offset?"},
           {"train: {checks: {draws: of}}",
            "train.checks.draws: wants one of refuse, warn, off, got `of`; did you mean off?"},
           {"train: {method: dora}",
            "train.method: wants one of lora, full, got `dora`; did you mean lora?"},
           {"train: {stage: vocoder}",
            "train.stage: wants one of lm, flow, encoder, got `vocoder`; did you mean "
            "encoder?"},
           {"train: {steps: 0}",
            "train.steps: a plan of zero steps trains nothing; give 1 or more"},
           {"train: {steps: -3}", "train.steps: must be at least 1, is -3"},
           {"train: {epochs: 0}", "train.epochs: must be above 0, is 0.0"},
           {"train: {steps: 1, epochs: 1}",
            "train.steps: steps and epochs are both given; set one of them to null"},
           {"train: {batch_tokens: 1, batch_utterances: 1}",
            "train.batch_tokens: batch_tokens and batch_utterances are both given; set one of them "
            "to null"},
           {"train: {batch_tokens: 0}", "train.batch_tokens: must be at least 1, is 0"},
           {"train: {batch_utterances: 0}", "train.batch_utterances: must be at least 1, is 0"},
           {"train: {accumulate: 0}", "train.accumulate: must be at least 1, is 0"},
           {"train: {dropout: 1}", "train.dropout: must be in [0, 1), is 1.0"},
           {"train: {clip_grad_norm: -1}",
            "train.clip_grad_norm: must be at least 0, is -1.0; 0 turns it off"},
           {"train: {checkpoint_every: -1}", "train.checkpoint_every: must be at least 0, is -1"},
           {"train: {validate_every: -1}", "train.validate_every: must be at least 0, is -1"},
           {"train: {patience: 0}",
            "train.patience: must be at least 1, is 0; null turns early stopping off"},
           {"train: {optimizer: {name: adamv}}",
            "train.optimizer.name: wants one of adamw, got `adamv`; did you mean adamw?"},
           {"train: {optimizer: {learning_rate: 0}}",
            "train.optimizer.learning_rate: must be above 0, is 0.0"},
           {"train: {optimizer: {betas: [0.9]}}",
            "train.optimizer.betas: must be two numbers in [0, 1), is [0.9]"},
           {"train: {optimizer: {betas: [0.9, 1]}}",
            "train.optimizer.betas: must be two numbers in [0, 1), is [0.9, 1.0]"},
           {"train: {optimizer: {eps: 0}}", "train.optimizer.eps: must be above 0, is 0.0"},
           {"train: {optimizer: {weight_decay: -1}}",
            "train.optimizer.weight_decay: must be at least 0, is -1.0"},
           {"train: {schedule: {name: cosin}}",
            "train.schedule.name: wants one of constant, linear, cosine, got `cosin`; did you mean "
            "cosine?"},
           {"train: {schedule: {warmup_steps: -1}}",
            "train.schedule.warmup_steps: must be at least 0, is -1"},
           {"lora: {rank: 0}", "lora.rank: must be at least 1, is 0"},
           {"lora: {alpha: 0}", "lora.alpha: must be above 0, is 0.0"},
           {"lora: {dropout: 1}", "lora.dropout: must be in [0, 1), is 1.0"},
           {"eval: {split: test}", "eval.split: wants one of validation, train, all, got `test`"},
           {"eval: {lora_scales: []}", "eval.lora_scales: must be one number or more, is []"},
           {"synth: {temperature: 0}",
            "synth.temperature: must be above 0, is 0.0; use --greedy to sample nothing"},
           {"synth: {top_k: -1}", "synth.top_k: must be at least 0, is -1; 0 turns it off"},
           {"synth: {top_p: 0}", "synth.top_p: must be in (0, 1], is 0.0; 1 turns it off"},
           {"synth: {min_p: 1}", "synth.min_p: must be in [0, 1), is 1.0; 0 turns it off"},
           {"synth: {repetition_penalty: 0}", "synth.repetition_penalty: must be above 0, is 0.0"},
           {"synth: {beams: 0}", "synth.beams: must be at least 1, is 0"},
           {"synth: {max_frames: 0}", "synth.max_frames: must be at least 1, is 0"},
           {"synth: {format: mp3}", "synth.format: wants one of pcm16, pcm24, float32, got `mp3`"},
           {"toy: {mode: ilc}", "toy.mode: wants one of clone, icl, got `ilc`; did you mean icl?"},
           {"toy: {dropout_text: 2}", "toy.dropout_text: must be at most 1"},
           {"toy: {mode: icl, table: /none}", "toy: icl wants a table"},
       }) {
    EXPECT_EQ(error_of(std::string("model: toy\n") + c.yaml + "\n"),
              std::string("run.yaml:2: ") + c.error);
  }
}

TEST(Validate, AcceptsTheEdges) {
  EXPECT_NO_THROW(
      RunFile("model: toy\nseed: 0\ndevice: cuda:12\ndata: {validation: 0}\n"
              "train: {clip_grad_norm: 0, checkpoint_every: 0, validate_every: 0, dropout: 0, "
              "keep: {last: 0, best: 0}}\nsynth: {top_k: 0, top_p: 1, min_p: 0}\n"
              "lora: {targets: []}\n")
          .load());
}

TEST(Validate, SeesValuesThatNoFileGave) {
  RunConfig run = default_run("toy", test::lookup);
  EXPECT_NO_THROW(run.validate());
  run.train.method = "both";
  EXPECT_THROW(run.validate(), UsageError);
  run = default_run("toy", test::lookup);
  run.train.keep.best = -1;
  EXPECT_THROW(run.validate(), UsageError);
  EXPECT_THROW(RunConfig().validate(), UsageError);  // no model
}

TEST(Validate, ValueOfAPresetNamesTheFile) {
  const RunFile file("model: toy\n");
  const auto bad = [](const std::string&) {
    return ModelDefaults{nullptr, [](RunConfig& config) { config.lora.rank = 0; }};
  };
  try {
    load_run(file.file(), {}, bad);
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_EQ(e.what(), file.file().string() + ": lora.rank: must be at least 1, is 0");
  }
}

}  // namespace
}  // namespace ttsft
