#include "ttsft/synth/synth.h"

#include <chrono>
#include <cstdio>

#include "request.h"
#include "speaker.h"
#include "tensor_files.h"
#include "ttsft/audio/wav_stream.h"
#include "ttsft/core/error.h"
#include "ttsft/core/log.h"
#include "ttsft/core/strings.h"
#include "ttsft/data/text_guards.h"
#include "ttsft/model/load_stage.h"
#include "ttsft/model/voices.h"
#include "ttsft/nn/precision.h"

namespace ttsft {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Voice {
  CheckpointSet checkpoints;
  double lora_scale = 1.0;
};

Voice choose_voice(const RunConfig& config, const ModelInfo& info, const SynthOptions& options) {
  Voice voice;
  voice.checkpoints = resolve_checkpoint_set(config, info, options.checkpoints);
  voice.lora_scale = options.lora_scale.value_or(config.synth.lora_scale);
  const std::string name = voice.checkpoints.name();
  if (!voice.checkpoints.has_adapter() && options.lora_scale) {
    throw UsageError("the checkpoint " + name + " has no adapter to scale", "--lora-scale",
                     "name one with --checkpoint");
  }
  const auto say = [&](const CheckpointRef& part) {
    log_info("checkpoint ", part.name, ": ", part.folder.string(),
             options.checkpoints.empty() ? " (choose another with --checkpoint)" : "");
  };
  if (voice.checkpoints.stages.empty()) say(voice.checkpoints.base);
  for (const auto& [stage, part] : voice.checkpoints.stages) say(part);
  return voice;
}

// Before anything is loaded.
void check_texts(const std::vector<SynthJob>& jobs, const ModelInfo& info,
                 const GuardPolicy& policy) {
  const TextGuards guards(info.markup);
  for (const SynthJob& job : jobs) {
    const std::string where = job.id.empty() ? "--text" : "--texts, " + job.id;
    for (const Finding& finding : guards.check(job.text, policy)) {
      if (finding.action == GuardAction::kRefuse)
        throw UsageError(finding.message, where,
                         "data.guards." + finding.guard + ": warn lets it pass");
      log_warning(finding.guard, ": ", where, ": ", finding.message);
    }
  }
}

void check_voice(const std::filesystem::path& reference, const ModelInfo& info,
                 const GuardPolicy& policy) {
  if (reference.empty() || !is_recording(reference)) return;
  const std::string where = "data.reference: " + reference.string();
  if (!std::filesystem::is_regular_file(reference))
    throw UsageError("the recording is not there", where);
  const int rate =
      info.rates.speaker_encoder > 0 ? info.rates.speaker_encoder : info.rates.encoder_in;
  for (const Finding& finding : check_reference(reference, rate, policy)) {
    if (finding.action == GuardAction::kRefuse)
      throw DataError(finding.message, where, "name a clean recording of 3 to 10 s");
    log_warning(finding.guard, ": ", where, ": ", finding.message);
  }
}

// With --texts the places are folders; each may be new.
void make_folders(const SynthOptions& options) {
  for (const std::filesystem::path& folder : {options.out, options.codes_out}) {
    std::error_code error;
    if (!folder.empty()) std::filesystem::create_directory(folder, error);
    if (error)
      throw RunError("cannot create the folder (" + error.message() + ")", folder.string());
  }
}

Json start_result(const SynthOptions& options, const Voice& voice) {
  Json result = {{"out", options.out.string()}, {"checkpoint", voice.checkpoints.name()}};
  result["lora_scale"] = voice.checkpoints.has_adapter() ? Json(voice.lora_scale) : Json();
  return result;
}

WavFormat format_of(const RunConfig& config) {
  return wav_format_from_name(config.synth.format);
}

// Whole: a file appears when all of it is there.
void write_sound(const SynthOptions& options, const RunConfig& config,
                 const std::filesystem::path& out, const Audio& audio) {
  if (out != "-" && !options.raw) {
    write_wav(out, audio.samples, audio.sample_rate, format_of(config));
    return;
  }
  WavStream stream(out, audio.sample_rate, format_of(config), options.raw);
  stream.write(audio.samples);
  stream.finish();
}

// Adds what was heard.
struct Totals {
  double seconds = 0;
  int64_t frames = 0, segments = 0;
  bool reached_limit = false;
  int sample_rate = 0;
  Clock::time_point start = Clock::now();
  std::optional<double> first_audio;  // seconds

  void heard() {
    if (!first_audio) first_audio = seconds_since(start);
  }
  void finish(Json& result) const {
    const double elapsed = seconds_since(start);
    result["seconds"] = seconds;
    result["frames"] = frames;
    result["segments"] = segments;
    result["rtf"] = seconds > 0 ? Json(elapsed / seconds) : Json();
    result["reached_limit"] = reached_limit;
    result["first_audio_seconds"] = first_audio ? Json(*first_audio) : Json();
    result["sample_rate"] = sample_rate;
    result["elapsed_seconds"] = elapsed;
  }
};

Json speak_jobs(const RunConfig& config, const SynthOptions& options, const ModelContext& context,
                Synthesizer& synthesizer, const std::vector<SynthJob>& jobs, const Noise& noise,
                Json result) {
  std::vector<TextToSpeak> texts;
  for (const SynthJob& job : jobs)
    texts.push_back({job.id.empty() ? "the text" : job.id, job.text});
  SpeakOptions speaking;
  speaking.decode.greedy = options.greedy;
  speaking.decode.max_frames = options.max_frames.value_or(config.synth.max_frames);
  speaking.seed = static_cast<uint64_t>(config.seed);
  speaking.on_gpu = context.device.is_cuda();
  speaking.batch = config.synth.batch.value_or(0);

  Totals totals;
  std::vector<Json> rows(jobs.size());
  std::vector<std::string> silent;
  const auto deliver = [&](size_t i, const SpokenText& spoken) {
    const SynthJob& job = jobs[i];
    if (spoken.frames == 0) {
      silent.push_back(texts[i].label);
      return;
    }
    totals.heard();
    if (!options.stream) write_sound(options, config, job.out, spoken.audio);
    if (!job.codes_out.empty()) write_codes(job.codes_out, spoken.codes);
    totals.seconds += spoken.audio.seconds();
    totals.frames += spoken.frames;
    totals.segments += spoken.segments;
    totals.reached_limit = totals.reached_limit || spoken.reached_limit;
    totals.sample_rate = spoken.audio.sample_rate;
    rows[i] = {{"id", job.id},
               {"out", job.out.string()},
               {"seconds", spoken.audio.seconds()},
               {"frames", spoken.frames},
               {"segments", spoken.segments},
               {"reached_limit", spoken.reached_limit}};
  };

  synthesizer.load();
  totals.start = Clock::now();
  if (options.stream) {
    std::optional<WavStream> out;
    const auto spoken =
        speak_stream(synthesizer, texts.at(0), speaking, noise, [&](const Audio& piece) {
          totals.heard();
          if (!out) out.emplace(options.out, piece.sample_rate, format_of(config), options.raw);
          out->write(piece.samples);
        });
    if (out) out->finish();
    deliver(0, spoken);
  } else {
    speak(synthesizer, texts, speaking, noise, deliver);
  }
  if (!silent.empty()) {
    throw RunError("the model ended without a frame", join(silent, ", "),
                   "try another seed, or the checkpoint of another step");
  }
  totals.finish(result);
  if (!options.texts.empty()) result["texts"] = rows;
  return result;
}

Json decode_codes(const RunConfig& config, const SynthOptions& options, Synthesizer& synthesizer,
                  const torch::Tensor& codes, const Noise& noise, Json result) {
  torch::InferenceMode guard;
  Totals totals;
  AcousticRow row;
  row.codes = codes;
  row.seed = static_cast<uint64_t>(config.seed);
  if (!noise.empty()) row.noise = &noise;
  AcousticDecoder& acoustic = synthesizer.acoustic();
  const PrecisionScope speed(
      speaking_precision(synthesizer.tensor_options().dtype().toScalarType()));
  const Audio wave = to_audio(acoustic.decode(std::span(&row, 1)).at(0), acoustic.sample_rate());
  check_wave(wave, options.codes_in.string());
  totals.heard();
  write_sound(options, config, options.out, wave);
  totals.seconds = wave.seconds();
  totals.frames = codes.size(0);
  totals.segments = 1;
  totals.sample_rate = wave.sample_rate;
  totals.finish(result);
  return result;
}

}  // namespace

nlohmann::ordered_json run_synth(const RunConfig& given, const ModelAdapter& adapter,
                                 const SynthOptions& options) {
  const PrecisionScope exact(Float32::kExact);  // of voices, and of a language model in float32
  check_flags(options);
  const std::vector<SynthJob> jobs = make_jobs(options);
  format_of(given);
  require(given, given.checkpoint, "checkpoint");
  const GuardPolicy policy = guard_policy(given.data.guards);
  if (options.codes_in.empty()) check_texts(jobs, adapter.info(), policy);
  const Voice voice = choose_voice(given, adapter.info(), options);
  require_release(adapter, {"base", given.checkpoint, CheckpointKind::kBase, -1});
  require_releases(adapter, voice.checkpoints);
  const RunConfig config = with_voice(given, adapter, voice.checkpoints, options.codes_in.empty());
  // A voice that a checkpoint keeps was checked when it was taken.
  if (!given.data.reference.empty())
    check_voice(config.data.reference.file, adapter.info(), policy);
  Noise noise;
  if (!options.noise.empty()) noise = read_noise(options.noise);
  torch::Tensor codes;
  if (!options.codes_in.empty()) codes = read_codes(options.codes_in);
  Json result = start_result(options, voice);
  if (options.dry_run) {
    result["dry_run"] = true;
    result["texts"] = codes.defined() ? 0 : jobs.size();
    return result;
  }

  const ModelContext context = make_context(config);
  if (!options.texts.empty()) make_folders(options);
  const std::unique_ptr<Synthesizer> synthesizer =
      adapter.make_synthesizer(context, voice.checkpoints, voice.lora_scale);
  if (codes.defined()) {
    return decode_codes(config, options, *synthesizer, codes, noise, std::move(result));
  }
  return speak_jobs(config, options, context, *synthesizer, jobs, noise, std::move(result));
}

std::string describe_synth(const nlohmann::ordered_json& result) {
  const std::string checkpoint = result.at("checkpoint").get<std::string>();
  const std::string out = result.at("out").get<std::string>();
  if (result.contains("dry_run")) {
    return "would write " + out + " with the checkpoint " + checkpoint + "\n";
  }
  char numbers[200];
  std::snprintf(numbers, sizeof numbers,
                "%.2f s of audio, %lld frames, in %.2f s (%.2f x real time), first audio after "
                "%.2f s",
                result.at("seconds").get<double>(),
                static_cast<long long>(result.at("frames").get<int64_t>()),
                result.at("elapsed_seconds").get<double>(),
                result.at("rtf").is_null() ? 0.0 : result.at("rtf").get<double>(),
                result.at("first_audio_seconds").is_null()
                    ? 0.0
                    : result.at("first_audio_seconds").get<double>());
  std::string text = out + ": " + numbers;
  if (result.contains("texts")) text += ", " + std::to_string(result.at("texts").size()) + " texts";
  if (result.at("reached_limit").get<bool>()) text += ", stopped at the limit of frames";
  return text + "\n";
}

}  // namespace ttsft
