#pragma once
// Moving whole vectors to and from a device, and comparing what comes back.
#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace lrc::test {

/// Uploads and downloads of whole vectors.
template <typename T>
Buffer upload(Backend& backend, const std::vector<T>& values) {
  Buffer buffer = backend.allocate(values.size() * sizeof(T));
  backend.upload(buffer, 0, std::as_bytes(std::span(values)));
  return buffer;
}
template <typename T>
std::vector<T> download(Backend& backend, const Buffer& buffer, std::size_t count) {
  std::vector<T> values(count);
  backend.download(buffer, 0, std::as_writable_bytes(std::span(values)));
  return values;
}
/// A result buffer that holds NaN, so that what an operator forgets to write is seen.
inline Buffer unwritten(Backend& backend, std::size_t count) { return upload(backend, std::vector<float>(count, std::nanf(""))); }

/// Every element within its own bound; NaN never is.
inline void expect_within(const std::vector<float>& result, const std::vector<float>& expected, const std::vector<double>& bounds,
                          const std::string& what) {
  ASSERT_EQ(result.size(), expected.size()) << what;
  ASSERT_EQ(result.size(), bounds.size()) << what;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (std::fabs(double(result[i]) - double(expected[i])) <= bounds[i]) continue;
    if (++wrong <= 3)
      ADD_FAILURE() << what << ": element " << i << " is " << result[i] << ", expected " << expected[i] << " within " << bounds[i];
  }
  EXPECT_EQ(wrong, 0u) << what << ": elements out of bounds of " << result.size();
}

template <typename T>
void expect_identical(const std::vector<T>& result, const std::vector<T>& expected, const std::string& what) {
  ASSERT_EQ(result.size(), expected.size()) << what;
  for (std::size_t i = 0; i < result.size(); ++i) ASSERT_EQ(result[i], expected[i]) << what << ": element " << i;
}

}  // namespace lrc::test
