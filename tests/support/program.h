#pragma once
#include <string>
#include <vector>

namespace lrc::test {

struct ProgramResult {
  int exit_code = -1;  ///< 128 + signal where a signal ended it
  std::string out, err;
};

/// Runs a program to its end. `interrupt_after_s` > 0: sends SIGINT after that time.
ProgramResult run_program(const std::string& program, const std::vector<std::string>& arguments, double interrupt_after_s = 0,
                          const std::string& input = {});

}  // namespace lrc::test
