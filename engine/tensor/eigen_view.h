#pragma once
// For .cpp files only: Eigen maps over Matrix<T>.
#include <Eigen/Core>

#include "tensor/matrix.h"

namespace lrc {

template <typename T>
using EigenMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <typename T>
Eigen::Map<EigenMatrix<T>> view(Matrix<T>& m) {
  return {m.data(), Eigen::Index(m.rows()), Eigen::Index(m.columns())};
}
template <typename T>
Eigen::Map<const EigenMatrix<T>> view(const Matrix<T>& m) {
  return {m.data(), Eigen::Index(m.rows()), Eigen::Index(m.columns())};
}
template <typename Derived>
Matrix<typename Derived::Scalar> to_matrix(const Eigen::MatrixBase<Derived>& e) {
  Matrix<typename Derived::Scalar> m(std::size_t(e.rows()), std::size_t(e.cols()));
  view(m) = e;
  return m;
}

}  // namespace lrc
