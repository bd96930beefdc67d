// What builds the wheel has no TypeScript and no JupyterLab: rspack drops the types, and JupyterLab's packages come from the page.
module.exports = {
  resolve: { extensions: ['.tsx', '.ts', '.js'] },
  module: {
    rules: [
      {
        test: /\.tsx?$/,
        loader: 'builtin:swc-loader',
        options: {
          jsc: {
            parser: { syntax: 'typescript', tsx: true },
            transform: { react: { runtime: 'classic' } },
            target: 'es2020'
          }
        },
        type: 'javascript/auto'
      },
      // As the builder has it for .js alone.
      { test: /\.svg$/, issuer: /\.tsx?$/, type: 'asset/source' }
    ]
  }
};
