#pragma once
#include <cassert>
#include <cstddef>
#include <span>
#include <vector>

namespace lrc {

/// A dense row-major matrix that owns its numbers. Plain on purpose: headers stay free of Eigen, which costs every file
/// that includes it seconds of compile time; the algebra behind the .cpp files maps onto it (tensor/eigen_view.h).
template <typename T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t columns, T value = T{}) : rows_(rows), columns_(columns), data_(rows * columns, value) {}

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t size() const { return data_.size(); }
  bool empty() const { return data_.empty(); }

  T* data() { return data_.data(); }
  const T* data() const { return data_.data(); }
  T* row(std::size_t r) { return data_.data() + r * columns_; }
  const T* row(std::size_t r) const { return data_.data() + r * columns_; }
  T& operator()(std::size_t r, std::size_t c) {
    assert(r < rows_ && c < columns_);
    return data_[r * columns_ + c];
  }
  const T& operator()(std::size_t r, std::size_t c) const {
    assert(r < rows_ && c < columns_);
    return data_[r * columns_ + c];
  }
  std::span<T> flat() { return data_; }
  std::span<const T> flat() const { return data_; }
  bool operator==(const Matrix&) const = default;

 private:
  std::size_t rows_ = 0, columns_ = 0;
  std::vector<T> data_;
};

using MatrixF = Matrix<float>;
using MatrixD = Matrix<double>;

template <typename To, typename From>
Matrix<To> convert(const Matrix<From>& from) {
  Matrix<To> to(from.rows(), from.columns());
  for (std::size_t i = 0; i < from.size(); ++i) to.data()[i] = static_cast<To>(from.data()[i]);
  return to;
}

}  // namespace lrc
