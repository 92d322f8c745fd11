// One prepared clip: what T3 learns from it, and what it can lend another clip of its speaker.
//
// Two forms on disk. Ours: clips/<id>.safetensors. The community's trainers cache a pickled dict
// (specification section 9.4) with the stop code behind the speech and no prompt of their own kind;
// it is written on request and read as a source.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/chatterbox/objective.h"
#include "ttsft/data/clip_list.h"

namespace ttsft::chatterbox {

struct PreparedClip {
  torch::Tensor speech_codes;               // [m], int64, no start, no stop
  torch::Tensor text_ids;                   // [n], int64, no START, no STOP
  torch::Tensor speaker_emb;                // [S], float32
  torch::Tensor prompt_tokens;              // [P], int64: first 3 s, zero-padded sound
  torch::Tensor cond_prompt_speech_tokens;  // [<= speech_cond_prompt_len]: of the first 6 s
};

// Where a clip lies within the prepared folder. Characters that a file name may not have are
// written as %XX.
std::filesystem::path clip_file(const std::string& id);
std::filesystem::path cache_file(const std::string& id);

// Both are written whole; prep waits for the disk once, for all of them.
void write_clip(const std::filesystem::path& file, const PreparedClip& clip);
PreparedClip read_clip(const std::filesystem::path& file);  // DataError: missing, misshapen

void write_cache(const std::filesystem::path& file, const PreparedClip& clip);
// A missing start and stop are what the community writes; both are taken off where they are there.
PreparedClip read_cache(const std::filesystem::path& file, const T3Config& config);

// DataError when the clip cannot be of this checkpoint: sizes, ids out of range, too long or empty.
void check_clip(const PreparedClip& clip, const T3Config& config, const std::string& where);

// speakers.json of the prepared folder: the clips of each speaker, in manifest order.
using SpeakerClips = std::map<std::string, ClipList<std::string>>;
void write_speakers(const std::filesystem::path& file, const SpeakerClips& speakers);
SpeakerClips read_speakers(const std::filesystem::path& file);

// Another clip of the same speaker, the same one in every run of a seed. "" when there is none.
std::string choose_other(const ClipList<std::string>& clips, const std::string& id, uint64_t seed);

// condition.safetensors: the recording that chatterbox.condition names, encoded by prep.
void write_condition(const std::filesystem::path& file, const Condition& condition,
                     const std::string& hash);
// DataError when it is not there or was made from another recording.
Condition read_condition(const std::filesystem::path& file, const std::filesystem::path& recording);

}  // namespace ttsft::chatterbox
