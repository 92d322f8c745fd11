// What the writing of a file waits for.
#pragma once

namespace ttsft {

enum class Durability {
  kDisk,    // the disk: the file is there after a power cut as well
  kRename,  // nothing: whole or absent for every reader and after a kill. For many small files that
            // one flush_file_system() covers before the index that names them is written.
};

}  // namespace ttsft
