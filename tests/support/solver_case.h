#pragma once
// The golden cases of tests/data/solvers, and random problems like them.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "support/test_data.h"
#include "tensor/matrix.h"

namespace lrc::test {

/// Python writes margins that do not exist as Infinity, which is no JSON.
inline Json read_facts(const std::filesystem::path& file) {
  std::string text = read_file(file);
  const std::string infinity = "Infinity";
  for (auto at = text.find(infinity); at != std::string::npos; at = text.find(infinity, at)) text.replace(at, infinity.size(), "null");
  return parse_json(text, file.string());
}

struct SolverCase {
  std::string name;
  SafetensorsFile file;
  Json facts;

  explicit SolverCase(const std::string& case_name)
      : name(case_name),
        file(SafetensorsFile::open(data("solvers/case_" + case_name + ".safetensors"))),
        facts(read_facts(data("solvers/case_" + case_name + ".json"))) {}

  MatrixD w() const { return file.read_double("W"); }
  MatrixD x() const { return file.read_double("X"); }
  bool has(const std::string& tensor) const { return file.find(tensor) != nullptr; }
  double scalar(const std::string& output, const std::string& which) const { return facts["scalars"][output][which].get<double>(); }
  std::vector<std::int8_t> codes(const std::string& tensor) const {
    const auto raw = file.raw<std::int8_t>(tensor);
    return {raw.begin(), raw.end()};
  }
};

inline const std::vector<std::string>& solver_cases() {
  static const std::vector<std::string> names = {"tall", "wide", "square", "few_tokens", "edge"};
  return names;
}

/// Largest |a − b| over the largest |b|; infinity where shapes differ.
inline double relative_difference(const MatrixD& a, const MatrixD& b) {
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::abs(a.data()[i] - b.data()[i]));
    largest = std::max(largest, std::abs(b.data()[i]));
    if (std::isnan(a.data()[i])) return INFINITY;
  }
  return largest == 0 ? difference : difference / largest;
}

inline MatrixD random_matrix(std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  MatrixD m(rows, columns);
  for (double& v : m.flat()) v = double(float(normal(generator)));
  return m;
}

/// Correlated inputs (tokens, width), every eleventh channel 8 times the others; float32 numbers.
inline MatrixD random_inputs(std::size_t tokens, std::size_t width, unsigned seed) {
  const MatrixD mix = random_matrix(width, width, seed), base = random_matrix(tokens, width, seed + 1);
  MatrixD x(tokens, width);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t i = 0; i < width; ++i) {
      double sum = base(t, i);
      for (std::size_t k = 0; k < width; ++k) sum += 0.5 * base(t, k) * mix(k, i) / std::sqrt(double(width));
      x(t, i) = double(float(i % 11 == 5 ? 8 * sum : sum));
    }
  return x;
}

}  // namespace lrc::test
