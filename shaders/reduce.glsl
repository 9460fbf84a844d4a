// Sum or maximum over a workgroup of 64 lanes, in shared memory: no subgroup size is assumed.
shared float reduce_values[64];

float workgroup_sum(float value) {
  const uint lane = gl_LocalInvocationID.x;
  reduce_values[lane] = value;
  barrier();
  for (uint step = 32u; step > 0u; step >>= 1) {
    if (lane < step) reduce_values[lane] += reduce_values[lane + step];
    barrier();
  }
  const float result = reduce_values[0];
  barrier();
  return result;
}

float workgroup_max(float value) {
  const uint lane = gl_LocalInvocationID.x;
  reduce_values[lane] = value;
  barrier();
  for (uint step = 32u; step > 0u; step >>= 1) {
    if (lane < step) reduce_values[lane] = max(reduce_values[lane], reduce_values[lane + step]);
    barrier();
  }
  const float result = reduce_values[0];
  barrier();
  return result;
}
