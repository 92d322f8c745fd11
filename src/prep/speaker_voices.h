// The recording that each speaker's voice is taken from, and whether it can be.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ttsft/audio/guards.h"
#include "ttsft/config/run_config.h"
#include "ttsft/model/preparer.h"

namespace ttsft {

using VoiceRecordings = std::map<std::string, VoiceRecording>;  // by speaker

// Of data.reference, else of the speaker's rows (ref_audio), else a clip of the speaker's own: of
// up to 16 of them, by the hash of their ids, those that no guard speaks against, and of these the
// longest between 3 and 10 s, else the one nearest to that. A clip that `earlier` names stays. The
// log says which were chosen. Speakers without any recording are left out.
VoiceRecordings choose_voices(const std::vector<Utterance>& rows, const ReferenceChoice& given,
                              const std::map<std::string, std::string>& earlier,
                              const AudioLimits& limits);

// Findings about the references of data.reference and of rows, each file heard once. `refuse` is
// told of every row whose reference a guard refuses. DataError: one in data.reference.
void check_references(
    const std::vector<Utterance>& rows, const ReferenceChoice& given, int sample_rate,
    const GuardPolicy& policy,
    const std::function<void(const Utterance& row, const Finding& finding)>& refuse);

}  // namespace ttsft
