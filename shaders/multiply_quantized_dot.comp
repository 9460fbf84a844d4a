#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
#define INTEGER_DOT 1
#include "multiply_quantized.glsl"
