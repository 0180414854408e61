// Chart draws the latest values as bars, on a scale from zero to the largest.
export function Chart({ values, label }: { values: number[]; label: string }) {
  const most = 60
  const width = 4
  const height = 40
  const top = Math.max(0.005, ...values)
  return (
    <svg class="chart" viewBox={`0 0 ${most * (width + 1)} ${height}`} role="img" aria-label={label} preserveAspectRatio="none">
      {values.map((value, i) => {
        const bar = Math.max(1.5, (value / top) * height)
        return <rect key={i} x={(most - values.length + i) * (width + 1)} y={height - bar} width={width} height={bar} />
      })}
    </svg>
  )
}
