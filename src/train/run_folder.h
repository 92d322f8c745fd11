// The folder of a run: who may use it, and where an earlier train in it is to be continued.
#pragma once

#include <filesystem>
#include <optional>

#include "checkpoints.h"
#include "ttsft/config/run_config.h"
#include "ttsft/io/folder_lock.h"

namespace ttsft {

struct ResumePoint {
  std::filesystem::path checkpoint;
  TrainerState state;
};

class RunFolder {
 public:
  // Locks the folder for the life of the object. UsageError: `fresh` and it is not empty, or an
  // earlier train in it had another configuration (the differing keys are listed) or left nothing
  // to continue from. RunError: in use.
  RunFolder(const RunConfig& config, bool fresh);

  const std::optional<ResumePoint>& resume() const { return resume_; }
  // From now on the folder belongs to this configuration.
  void claim(const RunConfig& config) const;

 private:
  FolderLock lock_;
  std::optional<ResumePoint> resume_;
};

}  // namespace ttsft
