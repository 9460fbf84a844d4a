#version 450
#extension GL_GOOGLE_include_directive : require
// Attention over float keys and values.
layout(binding = 2) readonly buffer Keys { float keys[]; };
layout(binding = 3) readonly buffer Values { float values[]; };
#include "attention.glsl"

float key_at(uint position, uint kv_head, uint d) { return keys[(position * kv_heads + kv_head) * head_dim + d]; }
float value_at(uint position, uint kv_head, uint d) { return values[(position * kv_heads + kv_head) * head_dim + d]; }
