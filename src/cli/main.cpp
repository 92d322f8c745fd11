#include "ttsft/cli/cli.h"

int main(int argc, char** argv) {
  return ttsft::run_cli(argc, argv);
}
