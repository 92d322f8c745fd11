// Recordings that lie inside larger files, as files of their own.
#pragma once

#include <filesystem>
#include <vector>

#include "ttsft/data/utterance.h"

namespace ttsft {

// Writes the recording of every row that has a `part` into the folder, under the row's id: a piece
// of a long recording as WAV at its own rate, bytes out of a parquet file as they are. The rows'
// audio and audio_path then name them. A row whose part cannot be had moves to `rejected`. Files of
// other rows are removed; the folder goes with the last.
void make_recordings(std::vector<Utterance>& rows, std::vector<RejectedRow>& rejected,
                     const std::filesystem::path& folder);

}  // namespace ttsft
