// The prepared set in the form of upstream's tools, a folder per split (train, dev):
//   wav.scp text utt2spk spk2utt instruct
//   utt2speech_token.pt utt2embedding.pt spk2embedding.pt
//   parquet/parquet_000000000.tar .. parquet/data.list       where Arrow is
// Upstream: examples/*/cosyvoice3,
// tools/{extract_embedding,extract_speech_token,make_parquet_list}.py.
#pragma once

#include <filesystem>

#include "models/cosyvoice3/config.h"
#include "ttsft/data/prepared_set.h"

namespace ttsft::cosyvoice3 {

// Rows whose recording is gone are left out of the shards, which hold the recordings, with a
// warning.
void write_upstream_files(const std::filesystem::path& folder, const PreparedRows& rows,
                          const LmConfig& config);

}  // namespace ttsft::cosyvoice3
